"""A matplotlib figure as inline SVG for a page: small, with the page's own colours and fonts, and no stranger's names.

matplotlib writes a file that stands for itself. Inside a page it has to give way: its style sheet would reach the whole
page, its ids would meet those of the next picture, its colours know nothing of a dark page, and a mark costs 150 bytes.
So the tree is written anew: `use` becomes the path it stands for, equal marks become one path, colours become the
page's variables (`COLOURS`), and what serves only matplotlib goes.
"""

import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markupsafe import Markup
from matplotlib.figure import Figure

from ..plotting.columns import NEGATIVE, NEUTRAL, POSITIVE, RANGE, SCENARIO_COLOURS

#: matplotlib's colours -> the page's variables, which have a value for light and one for dark (report.css).
COLOURS = {
    **{colour.lower(): f"var(--{name.replace('_', '-')})" for name, colour in SCENARIO_COLOURS.items()},
    NEGATIVE.lower(): "var(--convergent)",
    POSITIVE.lower(): "var(--divergent)",
    NEUTRAL.lower(): "var(--neutral)",
    RANGE.lower(): "var(--range)",
    "#b0b0b0": "var(--grid)",
    "#000000": "var(--ink)",
    "#ffffff": "var(--paper)",
}

#: matplotlib's own choice of fonts gives way to the page's; opacity would cost the colours their contrast.
_NOT_OURS = re.compile(r"(?:font-family:[^;]*|(?:fill-|stroke-)?opacity:[^;]*)(?:;|$)")
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_NUMBER = re.compile(r"-?\d*\.?\d+(?:e-?\d+)?")


def inline_svg(figure: Figure, name: str, alternative: str) -> Markup:
    """The figure as an `svg` element whose ids begin with `name`; `alternative` is what it says in words."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(file.getvalue())
    for element in root.iter():
        _leave_namespaces(element)
    drawn = [child for child in root if child.tag == "g"]
    shapes = {one.get("id", ""): one for one in root.iter("path") if one.get("id")}
    svg = Element("svg", {"viewBox": root.get("viewBox", ""), "role": "img", "aria-label": alternative})
    svg.extend(_merged(flat for group in drawn for flat in _flattened(group, shapes)))
    clips = list(root.iter("clipPath"))
    svg[:0] = clips
    _rename(svg, {one.get("id", ""): f"{name}-{place}" for place, one in enumerate(clips)})
    for element in svg.iter():
        _restyle(element)
    return Markup(ElementTree.tostring(svg, encoding="unicode"))


def _leave_namespaces(element: Element) -> None:
    element.tag = element.tag.rpartition("}")[2]
    for key in list(element.attrib):
        element.set(key.rpartition("}")[2], element.attrib.pop(key))
    element.tail = None


def _flattened(element: Element, shapes: dict[str, Element]) -> Iterator[Element]:
    """What a group draws, in order: groups that only group are opened, marks become paths, definitions go."""
    if element.tag in ("defs", "metadata"):
        return
    kept = {key: value for key, value in element.attrib.items() if key != "id"}
    if element.tag == "use":
        yield _mark(element, shapes[element.get("href", "#")[1:]])
    elif element.tag == "g" and not set(kept) - {"clip-path"}:
        for child in element:
            for one in _flattened(child, shapes):
                one.attrib.update(kept)
                yield one
    elif element.tag == "g":
        group = Element("g", kept)
        group.extend(one for child in element for one in _flattened(child, shapes))
        yield group
    elif not _draws_nothing(element):
        element.attrib.pop("id", None)
        yield element


def _draws_nothing(element: Element) -> bool:
    return element.tag == "path" and element.get("style") == "fill: none"


def _mark(use: Element, shape: Element) -> Element:
    """The path of a marker at its place; a disc without an edge is a line of no length with a round end."""
    x, y, outline = float(use.get("x", 0)), float(use.get("y", 0)), shape.get("d", "")
    style = use.get("style", "")
    if outline.count("C") == 8 and "stroke" not in style:
        radius = abs(float(_NUMBER.findall(outline)[1]))
        style = f"{style.replace('fill:', 'fill: none; stroke:')}; stroke-width: {2 * radius}; stroke-linecap: round"
        return Element("path", {"d": f"M {x} {y} h 0", "style": style})
    shift = iter((x, y) * outline.count(" "))
    moved = _NUMBER.sub(lambda number: str(float(number[0]) + next(shift)), outline)
    return Element("path", {"d": moved, "style": style})


def _merged(elements: Iterator[Element]) -> list[Element]:
    """Paths that differ only in place, in a row of paths, are one; the others keep their order."""
    found: list[Element] = []
    run: dict[tuple, Element] = {}
    for element in elements:
        like = tuple(sorted((key, value) for key, value in element.items() if key != "d"))
        small = element.tag == "path" and len(element.get("d", "")) < 200
        if not small:
            run = {}
        elif like in run:
            run[like].set("d", f"{run[like].get('d')} {element.get('d')}")
            continue
        elif small:
            run[like] = element
        found.append(element)
    return found


def _rename(svg: Element, names: dict[str, str]) -> None:
    for element in svg.iter():
        if element.get("id") in names:
            element.set("id", names[element.get("id", "")])
        if (clip := element.get("clip-path")) is not None:
            element.set("clip-path", f"url(#{names[clip[5:-1]]})")


def _restyle(element: Element) -> None:
    """The page's fonts and colours, and numbers to a hundredth of a point."""
    if element.tag == "image":
        element.set("preserveAspectRatio", "none")  # its pixels are whole, its frame is not
    if style := element.get("style"):
        style = _NOT_OURS.sub("", style)
        style = _COLOUR.sub(lambda found: COLOURS.get(found[0], found[0]), style)
        element.set("style", re.sub(r"\s*([:;,])\s*", r"\1", style).strip("; "))
    for key in ("d", "x", "y", "transform"):
        if value := element.get(key):
            value = _NUMBER.sub(lambda number: f"{round(float(number[0]), 2):g}", value)
            element.set(key, re.sub(r"\s*\b([MLCQZhz])\b\s*", r"\1", " ".join(value.split())))
