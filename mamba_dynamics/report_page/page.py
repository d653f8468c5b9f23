"""A report as one HTML page: the template filled in, with everything it needs inside.

Jinja writes it with autoescaping, so that a stranger's names stay text wherever the template puts them. The page's own
policy (Content-Security-Policy) allows no script but the one below and nothing from any server: should a name ever get
out of its place, it still runs nothing.
"""

import base64
import hashlib
import platform
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .._classification_document import classification_document, scenario_counts
from .._documents import printable, to_json
from .._outcomes import Scenario
from .facts import COLUMNS, OF_TOKENS, TOKEN_COLUMNS, layer_facts
from .pictures import pictures
from .words import DROPPED, LEVELS, PROVED, SEEN, headline, spoken

if TYPE_CHECKING:
    from .._report import Report

#: In JSON these occur in strings only, where an escape says the same and ends no element.
_JSON_ESCAPES = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})
_WITH_TOKENS = ("jax", "diffrax", "equinox")


def report_page(report: "Report", command: str | None = None) -> str:
    """The page; `command` is how the report was made, as it shall tell."""
    templates = Environment(
        loader=PackageLoader("mamba_dynamics.report_page", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"printable": printable, "extract": lambda key, mapping: mapping[key]}
    integrated = any(one.tokens is not None and one.tokens.integrated for one in report.layers)
    script, style = _part("report.js"), _part("report.css")
    layers = layer_facts(report)
    page = templates.get_template("report.html").render(
        checkpoint=report.checkpoint,
        title=printable(report.checkpoint.path.name or str(report.checkpoint.path)),
        headline=headline(report),
        levels=_levels(report),
        scenarios=_scenarios(report),
        pictures=list(pictures(report)),
        columns={name: about for name, about in COLUMNS.items() if integrated or name not in OF_TOKENS},
        token_columns=TOKEN_COLUMNS,
        layers=layers,
        dropped=_dropped(report),
        sign_is_convention=any(one.block is not None and one.block.sign_is_convention for one in report.layers),
        notes=_notes(report),
        settings=[(name.replace("_", " "), printable(str(value))) for name, value in report.settings.items()],
        versions=_versions(report),
        bytes_read=report.bytes_read,
        command=None if command is None else printable(command),
        json=Markup(to_json(classification_document(report)).translate(_JSON_ESCAPES)),
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page.rstrip() + "\n"


def _part(name: str) -> str:
    return (files("mamba_dynamics.report_page") / "template" / name).read_text("utf-8")


def _levels(report: "Report") -> list[tuple[str, str, list[tuple[int, str, str, str]]]]:
    """(name, what it is, [(layers, scenario, its words, what that says)]) of every level that the report has."""
    counts = _counts(report)
    return [
        (name, about, [(count, one, spoken(Scenario(one)), _says(level, one)) for one, count in counts[level].items()])
        for level, (name, about) in LEVELS.items()
        if counts[level]
    ]


def _counts(report: "Report") -> dict[str, dict[str, int]]:
    """`scenario_counts`, where tokens that were not integrated count for nothing."""
    integrated = [layer.tokens.scenario for layer in report.layers if layer.tokens and layer.tokens.integrated]
    return scenario_counts(report) | {"tokens": {one.value: integrated.count(one) for one in dict.fromkeys(integrated)}}


def _says(level: str, scenario: str) -> str:
    words = {"certified": PROVED, "tokens": SEEN}.get(level, {})
    return words.get(Scenario(scenario), Scenario(scenario).sentence.rstrip(".").lower())


def _scenarios(report: "Report") -> list[tuple[str, str, str]]:
    """(name, its words, its sentence) of the scenarios that occur, in the order of the enumeration."""
    found = {name for level in _counts(report).values() for name in level}
    return [(one.value, spoken(one), one.sentence) for one in Scenario if one.value in found]


def _dropped(report: "Report") -> list[tuple[str, str]]:
    parts = dict.fromkeys(part for layer in report.layers if layer.weights for part in layer.weights.dropped)
    return [(part, DROPPED.get(part, "")) for part in parts]


def _notes(report: "Report") -> list[str]:
    """Warnings of the checkpoint, then of layers, each with how many of these it is about."""
    counts: dict[str, int] = {}
    for layer in report.layers:
        for line in layer.weights.warnings if layer.weights is not None else ():
            counts[line] = counts.get(line, 0) + 1
    total = len(report.layers)
    where = {count: "" if count == total else f" ({count} of {total} layers)" for count in set(counts.values())}
    lines = [*report.checkpoint.warnings, *(f"{line}{where[count]}" for line, count in counts.items())]
    return [printable(line) for line in lines]


def _versions(report: "Report") -> list[tuple[str, str]]:
    tokens = any(layer.tokens is not None and layer.tokens.integrated for layer in report.layers)
    names = ["mamba-dynamics", "numpy", "python-flint", "matplotlib", *(_WITH_TOKENS if tokens else ())]
    return [*((name, version(name)) for name in names), ("Python", platform.python_version())]
