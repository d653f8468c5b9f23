"""The report's page in a headless Chromium: `pytest -m site tests/test_report_in_browser.py`.

Needs playwright (extra `docs`) and Chromium, as tests/test_site.py does.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mamba_dynamics import classify_checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from make_shaped_checkpoint import write as write_shaped

pytestmark = pytest.mark.site

NAME = "<script>alert(1)</script>"
LAYERS = 64
#: What the page may weigh, and how long it may take to open.
MOST_BYTES, MOST_SECONDS = 3_000_000, 2.0
PHONE, DESK = {"width": 380, "height": 800}, {"width": 1440, "height": 900}
STICKING_OUT = """() => [...document.querySelectorAll("body *")].filter(one => {
  if (one.getBoundingClientRect().right <= innerWidth + 1) return false;
  for (let parent = one; parent; parent = parent.parentElement)
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(parent).overflowX)) return false;
  return true;
}).map(one => one.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """64 layers of the shape of a small model, one of them named by somebody who means harm."""
    folder = tmp_path_factory.mktemp("shaped")
    write_shaped(folder, layers=LAYERS, width=128, states=16, vocabulary=2)
    tensors = load_file(folder / "model.safetensors")
    renamed = {f"{NAME}.{name}" if ".layers.7." in name else name: array for name, array in tensors.items()}
    save_file(renamed, folder / "model.safetensors")
    (folder / "config.json").unlink()
    return classify_checkpoint(folder / "model.safetensors", random_tokens=12, integrate=0)


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report.to_html(command=f"mamba-dynamics report {NAME}"), "utf-8")
    return path


@pytest.fixture(params=["light", "dark"])
def tab(request, browser, page):
    """The page, opened; anything that it asks for, complains of or pops up fails the test."""
    with browser.new_context(color_scheme=request.param, viewport=DESK) as context:
        tab = context.new_page()
        wrong: list[str] = []
        tab.on(
            "request", lambda one: wrong.append(one.url) if not one.url.startswith(("file:", "data:", "blob:")) else 0
        )
        tab.on("console", lambda one: wrong.append(one.text))
        tab.on("pageerror", lambda one: wrong.append(str(one)))
        tab.on("dialog", lambda one: (wrong.append(f"dialog: {one.message}"), one.dismiss()))
        tab.goto(page.as_uri())
        yield tab
        assert wrong == []


def test_it_is_small_and_opens_fast(browser, page, report):
    assert len(report.layers) == LAYERS
    assert page.stat().st_size < MOST_BYTES
    with browser.new_context(viewport=DESK) as context:
        tab = context.new_page()
        began = time.monotonic()
        tab.goto(page.as_uri())
        tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert time.monotonic() - began < MOST_SECONDS


def test_a_script_s_name_is_text(tab):
    assert tab.evaluate("() => document.scripts.length") == 2
    tab.locator("summary", has_text=NAME).click()
    assert tab.locator("details[open] .name", has_text=NAME).is_visible()
    assert NAME in tab.locator("#how code").inner_text()


def test_columns_are_sorted_by_keyboard(tab, report):
    header = tab.locator("#table table").first.locator("thead th", has_text="channels")
    shares = [np.mean([one.channels_convergent for one in layer.weights.groups]) for layer in report.layers]
    assert header.get_attribute("aria-sort") is None
    tab.locator("#table .scroll").first.focus()
    for _ in range(4):
        tab.keyboard.press("Tab")
    assert tab.evaluate("() => document.activeElement.textContent") == "channels"
    for key, direction, down in (("Enter", "ascending", 1), ("Space", "descending", -1)):
        tab.keyboard.press(key)
        assert header.get_attribute("aria-sort") == direction
        shown = [int(one) for one in tab.locator("#table tbody").first.locator("th").all_inner_texts()]
        assert shown == sorted(range(LAYERS), key=lambda i: down * shares[i])
    assert tab.locator("#table table").first.locator("th[aria-sort]").count() == 1


def test_numbers_are_sorted_as_numbers_and_words_as_words(tab):
    """Layer 10 comes after layer 9; signed numbers by value."""
    button = tab.locator("#table table").first.locator("thead button").first
    button.click()
    button.click()
    shown = tab.locator("#table tbody").first.locator("th").all_inner_texts()
    assert shown == [str(i) for i in reversed(range(LAYERS))]
    tab.locator("#layer-0 summary").click()
    tab.locator("#layer-0 thead button", has_text="alignment").click()
    cells = tab.locator("#layer-0 tbody tr td:nth-child(2)").all_inner_texts()
    values = [float(one.replace("−", "-")) for one in cells]
    assert values == sorted(values)
    assert min(values) < 0 < max(values)


def test_a_layer_s_link_opens_its_details(tab):
    assert not tab.locator("#layer-3 dl").is_visible()
    tab.locator("#table tbody a", has_text="3").first.click()
    # The page hears of the new address some time after the click.
    tab.locator("#layer-3 dl").wait_for(state="visible", timeout=10_000)
    assert tab.locator("#layer-3 dl").is_visible()


def test_it_fits_a_telephone(tab):
    tab.set_viewport_size(PHONE)
    tab.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.evaluate("() => document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert tab.evaluate(STICKING_OUT) == []


def test_the_numbers_can_be_downloaded(tab, tmp_path, report):
    with tab.expect_download() as found:
        tab.locator("#download button").click()
    assert found.value.suggested_filename == "classification.json"
    found.value.save_as(tmp_path / "found.json")
    document = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert [layer["name"] for layer in document["layers"]] == [layer.slot.name for layer in report.layers]
    assert any(NAME in layer["name"] for layer in document["layers"])


def test_paper_has_no_folds_and_is_white(tab):
    tab.emulate_media(media="print")
    tab.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("details:not([open])").count() == 0
    assert tab.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert tab.locator("details[open]").count() == 0
