"""The review page in a browser: nothing moves away under the hand, and nothing that was pressed or typed is lost."""

import shutil

import pytest

pytest.importorskip("fastapi")
from browsing import opened
from selfsort import organize
from selfsort.clusters import Clusters
from selfsort.photos.corrected import Corrected

ASKED = """
return performance.getEntriesByType("resource").map((entry) => new URL(entry.name).pathname)
  .filter((path) => path.startsWith("/picture/"));
"""
ARE_SHARP = """
return [...document.querySelectorAll(".card img:not([hidden])")].filter((image) => image.checkVisibility())
  .every((image) => image.complete && image.getAttribute("src") === image.sharp);
"""
BOX = "const { left, top, right, bottom } = document.querySelector(arguments[0]).getBoundingClientRect();"
RECTANGLE = BOX + "return [left, top, right, bottom].map(Math.round)"
TILE_AT = """
const [x, y] = arguments;
const tile = document.elementFromPoint(x, y)?.closest(".tile");
return tile && tile.getAttribute("aria-label");
"""
FOCUS = (
    "const on = document.activeElement; return on.id || on.textContent || on.getAttribute('aria-label') || on.className"
)
ORDER = (
    "return [...document.querySelectorAll('.tile:not([hidden])')].sort((a, b) => a.index - b.index).map((t) => t.row)"
)


@pytest.fixture
def page(browser, own_run):
    with opened(browser, own_run) as page:
        yield page


def phone(page, width):
    metrics = {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def mouse(page, kind, x, y, count=1):
    """Press, release or move the mouse; when it moves, the button is held."""
    place = {"x": x, "y": y, "button": "left", "buttons": 1, "clickCount": count}
    page.browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": f"mouse{kind}", **place})


def double_click(page, x, y):
    """Press twice at a place of the window; between the presses the page draws."""
    for count in (1, 2):
        mouse(page, "Pressed", x, y, count)
        mouse(page, "Released", x, y, count)
        page.js("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def titles(page):
    page.go("#/")
    page.until(lambda: page.all(".card h3"))
    return [node.text for node in page.all(".card h3")]


def focus_card(page, index):
    page.until(lambda: page.all(".card a"))
    page.js("arguments[0].focus()", page.all(".card a")[index])
    return page.all(".card h3")[index].text


@pytest.mark.parametrize("width", [1400, 390])
def test_the_small_previews_are_asked_for_before_sharp_ones(page, width):
    page.browser.set_window_size(width, 700)
    for group in (0, 1):
        page.go("#/")
        page.until(lambda: page.all(".card") and page.js(ARE_SHARP))
        before = page.js(ASKED)
        page.click(".card a", group)
        page.until(lambda: page.all(".tile"))
        tiles = page.js("return [...document.querySelectorAll('.tile:not([hidden])')].map((tile) => tile.row)")
        fresh = [row for row in tiles if f"/picture/{row}/tile" not in before]
        assert len(fresh) > 4
        page.until(lambda fresh=fresh: {f"/picture/{row}/tile" for row in fresh} <= set(page.js(ASKED)))
        asked = page.js(ASKED)
        places = [[asked.index(f"/picture/{row}/{size}") for row in fresh] for size in ("small", "tile")]
        assert max(places[0]) < min(places[1])


def test_a_double_click_is_of_what_its_first_click_was_on(page, own_run):
    page.browser.set_window_size(1000, 460)
    page.open_group(0)
    _, _, right, bottom = page.js(RECTANGLE, ".scroller")
    for x, y in ((right // 2, bottom - 12), (500, bottom - 30)):  # the last row in sight; where the bar comes up
        page.js("document.querySelector('.scroller').scrollTop = 40")
        page.js("return new Promise((done) => setTimeout(done, 600))")  # not a third click
        name = page.js(TILE_AT, x, y)
        assert name
        double_click(page, x, y)
        page.until(lambda: page.all("dialog.viewer h2")[0].text)
        assert name.endswith(page.all("dialog.viewer h2")[0].text)
        page.press(page.keys.ESCAPE)
        page.until(lambda: not page.all("dialog"))
    with Corrected(own_run, read_only=True) as corrected:
        assert corrected.log.entries() == []
    page.go("#/same")
    page.until(lambda: page.all(".set .look"))
    left, top, right, bottom = page.js(RECTANGLE, ".set .look")
    double_click(page, (left + right) // 2, (top + bottom) // 2)  # the second one closed what the first one opened
    page.js("return new Promise((done) => setTimeout(done, 100))")
    assert page.all("dialog.viewer")


def test_the_slider_shows_what_it_does_and_stays(page):
    before, place = page.sizes(), page.js(RECTANGLE, ".granularity input")
    left, top, right, bottom = place
    y = (top + bottom) // 2
    mouse(page, "Pressed", left + 20, y)
    page.until(lambda: page.sizes() != before)
    few = len(page.sizes())
    for part in (0.4, 0.5, 0.6):
        mouse(page, "Moved", left + part * (right - left), y)
    page.until(lambda: len(page.sizes()) > few)  # while it is held
    page.until(lambda: page.all(".granularity output")[0].text == f"{len(page.all('.card h3.unsure'))} groups")
    assert page.js(RECTANGLE, ".granularity input") == place
    mouse(page, "Released", left + 0.6 * (right - left), y)
    page.until(lambda: page.all(".looking button"))
    assert page.js(RECTANGLE, ".granularity input") == place


@pytest.mark.parametrize("width", [390, 320])
def test_the_slider_and_its_buttons_on_a_phone(page, width):
    phone(page, width)
    page.until(lambda: page.js("return innerWidth") == width)
    place = page.js(RECTANGLE, ".granularity input")
    page.press("]")
    page.until(lambda: page.all(".looking button"))
    assert page.js(RECTANGLE, ".granularity input") == place
    left, _, right, bottom = page.js(RECTANGLE, ".looking")
    assert 0 <= left < right <= width
    assert bottom <= 700
    page.click(".looking button", 1)
    page.until(lambda: not page.all(".looking"))
    cards = page.js(RECTANGLE, ".card")
    for box in page.browser.find_elements("css selector", ".card .check input")[:2]:
        page.js("arguments[0].click()", box)
    page.until(lambda: page.all(".merging button"))
    assert page.js(RECTANGLE, ".card") == cards  # the third can be pressed where it was
    assert page.js("return document.documentElement.scrollWidth <= innerWidth")


def test_names_order_and_colors_stay(page):
    color = """
    const done = arguments[0];
    Promise.all([import("/static/map.js"), import("/static/data.js")]).then(([{ colorOf }, { now }]) => {
      const canvas = document.querySelector(".plane canvas");
      const often = { willReadFrequently: true };
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", often);
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
      const pen = new OffscreenCanvas(1, 1).getContext("2d", often);
      const found = now.groups.map(({ key }) => {
        pen.fillStyle = colorOf(key, false);
        pen.fillRect(0, 0, 1, 1);
        const [r, g, b] = pen.getImageData(0, 0, 1, 1).data;
        let n = 0;
        for (let i = 0; i < data.length; i += 4) n += data[i] === r && data[i + 1] === g && data[i + 2] === b;
        return [key, `${r} ${g} ${b}`, n];
      });
      done(found);
    });
    """

    def colors():
        page.go("#/map")
        page.until(lambda: page.all("canvas"))
        page.until(lambda: all(n > 20 for _, _, n in page.browser.execute_async_script(color)))
        return {key: shown for key, shown, _ in page.browser.execute_async_script(color)}

    page.js("document.documentElement.dataset.theme = 'light'")
    before, shown = titles(page), colors()
    page.open_group(0)
    page.click(".buttons button")
    page.until(lambda: page.all("dialog input"))
    page.all("dialog input")[0].send_keys("3", page.keys.ENTER)
    page.until(lambda: "Split into 3" in page.said())
    after = titles(page)
    assert len(after) == len(before) + 2
    assert [name for name in after if name in before] == before
    assert after[0] == before[0]
    assert colors().items() >= shown.items()


def test_pictures_without_a_date_come_last_in_both_orders(browser, library, tmp_path):
    pictures = tmp_path / "pictures"
    shutil.copytree(library.root / "noise", pictures)
    dated = [path for path in sorted(pictures.iterdir()) if path.suffix == ".png"][:3]
    for year, path in zip((2019, 2021, 2020), dated, strict=True):
        path.rename(pictures / f"IMG_{year}0304_101112.png")
    organize(pictures, tmp_path / "run")
    with opened(browser, tmp_path / "run") as page:

        def years(order):
            script = "const s = arguments[0]; s.value = arguments[1]; s.dispatchEvent(new Event('change'))"
            page.js(script, page.all(".sorting select")[0], order)
            name = "return [...document.querySelectorAll('.tile:not([hidden])')].sort((a, b) => a.index - b.index)"
            return page.js(f"{name}.map((tile) => /IMG_(....)0304/.exec(tile.ariaLabel)?.[1] ?? '')")

        page.go("#/search/png")
        page.until(lambda: len(page.all(".tile")) > 5)
        page.until(lambda: years("oldest first")[:4] == ["2019", "2020", "2021", ""])
        page.until(lambda: years("newest first")[:4] == ["2021", "2020", "2019", ""])


def test_fast_keys_are_all_done_in_their_order(page, own_run):
    page.open_group(0)
    contents = Clusters.load(own_run).items.column("id").to_pylist()
    keys, seen = [], set()
    for row in page.js(ORDER):
        if contents[row] not in seen and len(seen) < 3:  # what holds for a picture holds for its copies
            keys += [page.keys.SPACE, "l"]
        keys.append(page.keys.ARROW_RIGHT)
        seen.add(contents[row])
    page.press(*keys)  # faster than they can be answered

    def live():
        with Corrected(own_run, read_only=True) as corrected:
            return [entry.undone for entry in corrected.log.entries()]

    page.until(lambda: len(live()) == 3)
    page.press("z", "z", "z")
    page.until(lambda: live() == [True] * 3)
    page.until(lambda: not page.browser.find_element("id", "undo").is_enabled())
    page.press("y", "y", "z", "y")
    page.until(lambda: page.said().startswith("Done again") and live() == [False, False, True])


def test_escape_gives_the_focus_back(page):
    name = focus_card(page, 2)
    page.press(page.keys.ENTER)
    page.until(lambda: page.all(".tile"))
    page.press(page.keys.ARROW_RIGHT, page.keys.SPACE, "m")
    page.until(lambda: page.all("dialog .choices"))
    tile = page.js("return document.querySelectorAll('.tile')[1].ariaLabel")
    page.press(page.keys.ESCAPE)
    page.until(lambda: not page.all("dialog"))
    assert page.js("return document.activeElement.ariaLabel") == tile
    page.press(page.keys.ENTER)
    page.until(lambda: page.all("dialog.viewer"))
    page.press(page.keys.ARROW_RIGHT, page.keys.ESCAPE)
    page.until(lambda: not page.all("dialog"))
    assert page.js("return document.activeElement.index") == 2
    page.press(page.keys.ESCAPE, page.keys.ESCAPE)  # first what is selected
    page.until(lambda: page.all(".card"))
    page.until(lambda: name in page.js(FOCUS))  # the group that one comes from
    page.click("#menu")
    page.until(lambda: page.all("dialog .menu"))
    page.press(page.keys.ESCAPE)
    page.until(lambda: page.js(FOCUS) == "menu")
    page.open_group(0)
    page.click(".tile", 1)
    page.click('.selection [data-key="m"]')  # by hand, and on by the keyboard
    page.until(lambda: page.all("dialog .choices"))
    page.press(page.keys.ESCAPE)
    page.until(lambda: not page.all("dialog"))
    page.press(page.keys.ESCAPE)
    page.until(lambda: not page.all(".selection"))
    assert page.js("return document.activeElement.index") == 1


def test_what_was_typed_for_an_export_stays(page, tmp_path):
    def show():
        page.click("#menu")
        page.click('dialog [value="export"]')
        page.until(lambda: page.all("#export-place"))

    show()
    page.js("arguments[0].value = 'json'; arguments[0].dispatchEvent(new Event('change'))", page.all("#export-mode")[0])
    page.all("#export-place")[0].send_keys("sorted", page.keys.ENTER)
    page.until(lambda: "needs a whole path" in page.said())
    assert page.all("#export-place")[0].get_property("value") == "sorted"  # it is still open
    assert [entry["message"] for entry in page.browser.get_log("browser") if "400" not in entry["message"]] == []
    page.browser.refresh()
    page.until(lambda: page.all(".card"))
    show()
    assert page.all("#export-mode")[0].get_property("value") == "json"
    place = page.all("#export-place")[0]
    assert place.get_property("value") == "sorted"
    place.clear()
    place.send_keys(str(tmp_path / "out"), page.keys.ENTER)
    page.until(lambda: page.said().startswith("Exporting: "))
    assert (tmp_path / "out").exists()


def test_a_name_that_is_typed_makes_a_group(page):
    page.open_group(0)
    page.click(".tile")
    page.press("m")
    page.until(lambda: page.all("dialog .choices"))
    page.press("Grandma's garden")
    page.until(lambda: "Grandma's garden" in page.all(".choices button.first")[0].text)
    page.press(page.keys.ENTER)
    page.until(lambda: page.said().startswith("Made a new group Grandma's garden of 1 picture"))
    assert "Grandma's garden" in titles(page)
    page.open_group(0)
    page.click(".tile")
    page.press("m")
    page.until(lambda: page.all("dialog .choices"))
    page.press("grandma's garden", page.keys.ENTER)  # there is one now
    page.until(lambda: "to Grandma's garden." in page.said())
    page.press("z", "z")
    page.until(lambda: not page.browser.find_element("id", "undo").is_enabled())
    assert "Grandma's garden" not in titles(page)


def test_a_merge_says_which_name_stays(page):
    gone = page.all(".card h3")[0].text
    page.open_group(1)
    page.all("input.name")[0].send_keys("Beach", page.keys.ENTER)
    page.until(lambda: page.said() == "Named it Beach.\nUndo")
    titles(page)
    for box in page.browser.find_elements("css selector", ".card .check input")[:2]:
        page.js("arguments[0].click()", box)
    page.until(lambda: page.all(".merging button"))
    page.click(".merging button")
    page.until(lambda: page.said() == f"Merged {gone} into Beach.\nUndo")
    page.press("z")
    page.until(lambda: page.said() == f"Undone: merge {gone} into Beach.")


def test_what_is_half_typed_outlives_another_grouping(page, own_run):
    shown = """
    const done = arguments[0];
    import("/static/data.js").then(({ run }) => done(run.stamp));
    """

    def group_again():
        stamp = page.browser.execute_async_script(shown)
        Clusters.load(own_run).save(own_run)  # as another program does
        page.until(lambda: page.browser.execute_async_script(shown) != stamp)

    page.open_group(0)
    page.click("input.name")
    page.press("Half")
    group_again()
    page.press(" a name", page.keys.ENTER)
    page.until(lambda: page.said().startswith("Named it Half a name."))
    page.click("#menu")
    page.click('dialog [value="export"]')
    page.until(lambda: page.all("#export-place"))
    page.all("#export-place")[0].send_keys("/home/me")
    group_again()
    page.press("/sorted")
    assert page.all("#export-place")[0].get_property("value") == "/home/me/sorted"
