"""The review page in a browser: small screens, rectangles larger than the window, maps that move, few fonts."""

import re
from datetime import UTC, datetime
from importlib.resources import files

import pytest

pytest.importorskip("fastapi")
from browsing import opened

SIZES = ((390, 844), (320, 568))
BOX = "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()"
#: What can be pressed and does not lie in the window, or lies behind something.
OUT_OF_REACH = """
return [...document.querySelectorAll(arguments[0])].filter((node) => {
  const { left, right, top, bottom } = node.getBoundingClientRect();
  const found = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  return left < 0 || right > innerWidth || top < 0 || bottom > innerHeight || !node.contains(found);
}).map((node) => node.textContent || node.id);
"""


@pytest.fixture
def page(browser, own_run):
    with opened(browser, own_run) as page:
        yield page


def phone(page, width, height):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.until(lambda: page.js("return innerWidth") == width)


def test_the_bars_of_a_phone_leave_the_room_to_the_pictures(page):
    for width, height in SIZES:
        phone(page, width, height)
        page.go("#/")
        page.until(lambda: page.all(".card"))
        assert page.js(BOX, ".bar")["bottom"] <= 80
        assert page.js(BOX, ".card")["top"] < height * 0.3
        assert page.js(OUT_OF_REACH, ".views a, .bar button, .bar input[type=search]") == []
        page.open_group(0)
        assert page.js(BOX, ".tile")["top"] < height * 0.45
        page.press(page.keys.SPACE)
        page.until(lambda: page.all(".selection"))
        assert page.js(OUT_OF_REACH, ".selection button, .selection strong") == []
        assert page.js(BOX, ".selection")["height"] < 0.2 * height
        page.press(page.keys.ESCAPE)
        assert page.js("return document.documentElement.scrollWidth") <= width


def test_the_keys_fit_a_phone(page):
    for width, height in SIZES:
        phone(page, width, height)
        page.press("?")
        page.until(lambda: page.all("dialog .keys"))
        box = page.js("const b = document.querySelector('dialog'); return [b.scrollWidth, b.clientWidth, b.scrollTop]")
        assert box[0] <= box[1] <= width
        assert box[2] == 0  # it begins with its first line
        assert page.js(OUT_OF_REACH, "dialog .actions button") == []
        columns = page.js("return getComputedStyle(document.querySelector('.keys')).gridTemplateColumns").split()
        assert float(columns[1][:-2]) >= 1.4 * float(columns[0][:-2])
        page.press(page.keys.ESCAPE)
        page.until(lambda: not page.all("dialog"))


def test_a_rectangle_scrolls_and_selects_what_was_above(page):
    page.browser.set_window_size(1000, 600)
    page.open_group(0)
    page.js("document.querySelector('.pictures').style.marginRight = '100px'")  # room to press beside the pictures
    page.until(lambda: not page.is_at_the_end(".scroller"))
    page.js("document.querySelector('.scroller').scrollTop = 0")
    n = page.js("return document.querySelector('.tile').ariaSetSize")
    grid = page.all(".scroller")[0]
    first = page.js(BOX, ".tile")
    area = page.js(BOX, ".scroller")
    chain = page.chain().move_to_element_with_offset(grid, 0, 0)
    middle = (area["left"] + area["width"] / 2, area["top"] + area["height"] / 2)
    start = (area["right"] - 60, first["top"] + 5)
    chain.move_by_offset(int(start[0] - middle[0]), int(start[1] - middle[1])).click_and_hold()
    chain.move_by_offset(int(area["left"] + 30 - start[0]), int(area["bottom"] - 8 - start[1])).perform()
    page.until(lambda: page.is_at_the_end(".scroller"))
    page.until(lambda: page.all(".selection strong")[0].text == f"{n} selected")
    band = page.js(BOX, ".band")
    assert area["top"] <= band["top"]
    assert band["bottom"] <= area["bottom"] + 1  # it does not cover what is around
    page.chain().release().perform()
    page.until(lambda: not page.all(".band"))
    assert page.all(".selection strong")[0].text == f"{n} selected"


TAKEN = """
const done = arguments[0];
import("/static/data.js").then(async ({ facts, run }) => {
  await facts();
  for (let row = 0; row < run.n; row++) {
    run.facts.latitude[row] = 45 + 3 * Math.sin(row * 12.9898) + (row % 5);
    run.facts.longitude[row] = 9 + 4 * Math.sin(row * 78.233) + (row % 7);
  }
  done();
});
"""
#: Where the map has the color of a cluster, as the bounds of rows and columns of each mark.
MARKS = """
const canvas = document.querySelector("canvas");
const { width, height } = canvas;
const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
pen.drawImage(canvas, 0, 0);
const { data } = pen.getImageData(0, 0, width, height);
const probe = document.createElement("i");
probe.style.color = "var(--accent)";
document.body.append(probe);
const [r, g, b] = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
probe.remove();
const [left, right] = arguments;
const marks = [];
for (let y = 80; y < height - 80; y++)
  for (let x = left; x < right; x++) {
    const i = 4 * (y * width + x);
    if (data[i] === r && data[i + 1] === g && data[i + 2] === b) marks.push((x - left) + " " + y);
  }
return marks;
"""


def test_places_stay_together_while_the_map_moves(page):
    page.browser.execute_async_script(TAKEN)
    page.go("#/places")
    page.until(lambda: page.all("canvas") and "it is known" in page.all(".note")[0].text)
    canvas = page.all("canvas")[0]
    width = page.js("return arguments[0].width", canvas)
    for _ in range(2):
        page.click(".planetools [aria-label=Closer]")
    page.js("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    before = page.js(MARKS, 300, width - 300)
    assert len(before) > 1000
    center = (canvas.size["width"] // 2, canvas.size["height"] // 2)
    for x, y in ((13, 0), (7, 0), (-41, 0)):  # by steps that are no whole cells
        chain = page.chain().move_to_element_with_offset(canvas, 100 - center[0], 200 - center[1])
        chain.click_and_hold().move_by_offset(5, 0).move_by_offset(x - 5, y).release().perform()
        page.js("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    moved = 13 + 7 - 41
    assert page.js(MARKS, 300 + moved, width - 300 + moved) == before


def test_no_character_needs_a_font_of_pictures():
    """Letters, and marks that the fonts of all systems have."""
    usual = set("·–—…×°“”’−éÉ≈")
    for part in (files("selfsort") / "app" / "static").iterdir():
        if part.name.endswith((".js", ".css", ".html")):
            text = re.sub(r"^\s*//.*", "", part.read_text(encoding="utf-8"), flags=re.M)
            assert {letter for letter in text if ord(letter) > 127} <= usual, part.name


def test_marks_are_drawn(page):
    page.open_group(0)
    page.click(".tile")
    page.press("l")
    page.until(lambda: page.all(".marks svg"))
    assert page.js("const b = document.querySelector('.marks path').getBBox(); return b.width * b.height") > 20
    assert len(page.all(".bar svg")) == 4


def test_the_history_has_the_format_of_the_names(page):
    page.open_group(0)
    page.click(".tile")
    page.press("l")
    page.until(lambda: "Locked" in page.said())
    page.click("#menu")
    page.click('dialog [value="history"]')
    page.until(lambda: page.all(".history time"))
    told = datetime.strptime(page.all(".history time")[0].text, "%d %B %Y, %H:%M")
    zone = page.js("return new Date().getTimezoneOffset()")
    assert abs((datetime.now(UTC).replace(tzinfo=None) - told).total_seconds() - 60 * zone) < 120
