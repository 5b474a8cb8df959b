"""The review page in a browser: real clicks, drags and keys on a run of the small library."""

import pytest

pytest.importorskip("fastapi")
from browsing import opened
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.corrected import Corrected
from selfsort.photos.persons import PERSONS

#: What can be pressed and seen, and has no name for those who only hear.
UNNAMED = """
return [...document.querySelectorAll("button, a, input, select, canvas")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(node.textContent.trim() || node.ariaLabel || node.title || node.labels?.length))
  .map((node) => node.outerHTML);
"""


@pytest.fixture
def page(browser, own_run):
    with opened(browser, own_run) as page:
        yield page


def test_groups_are_seen_corrected_and_undone(page, own_run):
    before = page.sizes()
    assert len(before) == 4
    page.open_group(0)
    tiles = page.all(".tile")
    tiles[0].click()
    page.chain().key_down(page.keys.SHIFT).click(tiles[3]).key_up(page.keys.SHIFT).perform()
    page.until(lambda: len(page.selected()) == 4)
    page.chain().key_down(page.keys.CONTROL).click(tiles[1]).key_up(page.keys.CONTROL).perform()
    page.until(lambda: len(page.selected()) == 3)
    page.drag(tiles[2], page.all(".targets li")[1])
    page.until(lambda: "Moved 2 pictures and 1 copy" in page.said())
    with Corrected(own_run, read_only=True) as corrected:
        assert [entry.do for entry in corrected.log.entries()] == ["move"]
    page.command("z")
    page.until(lambda: page.said().startswith("Undone: move"))
    page.command("z", shift=True)
    page.until(lambda: page.said().startswith("Done again"))
    page.browser.find_element("id", "undo").click()
    page.go("#/")
    page.until(lambda: page.sizes() == before)


def test_a_drop_on_a_new_group_and_a_rectangle(page):
    page.open_group(0)
    n = len(page.all(".targets li"))
    grid = page.browser.find_element("css selector", ".pictures")
    page.chain().move_to_element_with_offset(
        grid, -grid.size["width"] // 2 - 12, -grid.size["height"] // 2 - 4
    ).click_and_hold().move_by_offset(200, 90).release().perform()
    page.until(lambda: len(page.selected()) >= 1)
    page.drag(page.selected()[0], page.all(".targets li.new")[0])
    page.until(lambda: "Made a new group" in page.said())
    assert len(page.all(".targets li")) == n + 1


def test_name_a_group_and_reload(page):
    page.open_group(0)
    name = page.browser.find_element("css selector", "input.name")
    name.click()
    name.send_keys("<b>Grandma's & co</b>", page.keys.ENTER)
    page.until(lambda: page.said().startswith("Named it"))
    page.browser.refresh()
    page.until(
        lambda: page.all("input.name") and page.all("input.name")[0].get_property("value") == "<b>Grandma's & co</b>"
    )
    page.go("#/")
    page.until(lambda: "<b>Grandma's & co</b>" in [node.text for node in page.all(".card h3")])
    assert not page.browser.find_elements("css selector", ".card b")


def test_merge_by_choosing_and_by_dragging(page):
    for box in page.browser.find_elements("css selector", ".card .check input")[:2]:
        page.js("arguments[0].click()", box)
    page.until(lambda: page.all(".merging button"))
    page.click(".merging button")
    page.until(lambda: len(page.sizes()) == 3)
    cards = page.all(".card")
    page.drag(cards[2], cards[1])
    page.until(lambda: len(page.sizes()) == 2)
    page.press("z")
    page.until(lambda: len(page.sizes()) == 3)


def test_split_hide_lock_and_the_history(page):
    page.open_group(0)
    next(button for button in page.all(".buttons button") if button.text == "Split…").click()
    page.until(lambda: page.all("dialog"))
    page.all("dialog input")[0].send_keys("3")
    page.click("dialog button.main")
    page.until(lambda: "Split into 3" in page.said())
    page.open_group(0)
    page.press(page.keys.ARROW_RIGHT, page.keys.SPACE, page.keys.ARROW_RIGHT, page.keys.SPACE)
    page.until(lambda: len(page.selected()) == 2)
    page.press("l")
    page.until(lambda: "Locked 2" in page.said())
    n = len(page.all(".tile"))
    page.click(".tile")
    page.press("h")
    page.until(lambda: "Hid 1" in page.said())
    page.until(lambda: 0 < len(page.all(".tile")) < n)
    page.go("#/hidden")
    page.until(lambda: page.all("h2")[0].text == "Hidden" and 1 <= len(page.all(".tile")) <= 2)  # it may have a copy
    page.browser.find_element("id", "menu").click()
    page.until(lambda: page.all("dialog .menu button"))
    next(button for button in page.all(".menu button") if button.text.startswith("What was")).click()
    page.until(lambda: len(page.all(".history li")) == 3)
    page.click(".history li button", 2)  # the oldest: the split
    page.until(lambda: len(page.all(".history li")) == 3 and page.all(".history .undone"))
    page.press(page.keys.ESCAPE)
    page.go("#/")
    page.until(lambda: len(page.all(".card")) == 4)


def test_everything_by_keyboard(page):
    page.press("2")
    page.until(lambda: page.all("canvas"))
    page.press("3")
    page.until(lambda: page.all(".timeline"))
    page.press("1")
    page.until(lambda: len(page.sizes()) == 4)
    page.press("]")
    page.until(lambda: len(page.sizes()) > 4 and page.all(".granularity button.main"))
    page.press("[", "[", "[")
    page.until(lambda: len(page.sizes()) < 4)
    page.click(".granularity button", 1)
    page.until(lambda: len(page.sizes()) == 4)
    page.js("document.querySelector('.card a').focus()")
    page.press(page.keys.SPACE, page.keys.ARROW_RIGHT, page.keys.SPACE)
    page.until(lambda: page.all(".merging") and "2 groups" in page.all(".merging")[0].text)
    page.press(page.keys.ENTER)
    page.until(lambda: page.all(".tile"))
    page.press(page.keys.END, page.keys.HOME, page.keys.ENTER)
    page.until(lambda: page.all("dialog.viewer dd"))
    first = page.all("dialog.viewer h2")[0].text
    page.press(page.keys.ARROW_RIGHT)
    page.until(lambda: page.all("dialog.viewer h2")[0].text != first)
    page.press(page.keys.ESCAPE)
    page.until(lambda: not page.all("dialog"))
    page.command("a")
    page.until(lambda: len(page.selected()) == len(page.all(".tile")))
    page.press(page.keys.ESCAPE)
    page.until(lambda: not page.selected())
    page.press("?")
    page.until(lambda: page.all("dialog .keys"))


def test_search_by_words_and_by_picture(page, reviewed):
    page.press("/")
    page.press("stripes", page.keys.ENTER)
    page.until(lambda: page.all(".tile") and "stripes" in page.all("h2")[0].text)
    page.click(".tile")
    page.press("s")
    page.until(lambda: "Most like it" in page.all("h2")[0].text)
    file = next(path for path in sorted((reviewed / "pictures").rglob("*.png")))
    page.browser.find_element("id", "by-picture").send_keys(str(file))
    page.until(lambda: file.name in page.all("h2")[0].text and page.all(".tile"))


def test_a_person_gets_a_name(page, own_run):
    with Catalog(catalog_path(own_run)) as catalog:
        everybody = {content: [1] for content in catalog.numbers()}
        catalog.add_facts(PERSONS, 1, everybody)
    page.open_group(0)
    page.press(page.keys.ENTER)
    page.click(".viewer button.person")
    page.until(lambda: page.browser.switch_to.active_element.get_attribute("id") == "person-name")
    page.press("Grandma <b>", page.keys.ENTER)
    page.until(lambda: page.said() == "Named person 1 Grandma <b>.")
    page.until(lambda: page.all(".viewer button.person")[0].text == "Grandma <b>")
    place = page.all(".viewer .place")[0].text
    page.press(page.keys.ARROW_RIGHT)  # the keyboard stays in the picture
    page.until(lambda: page.all(".viewer .place")[0].text != place)
    page.click(".viewer button.person")
    page.until(lambda: page.all("#person-name"))
    page.press(page.keys.ESCAPE)
    page.press(page.keys.ARROW_LEFT)
    page.until(lambda: page.all(".viewer .place")[0].text == place)
    page.press(page.keys.ESCAPE)
    page.go("#/")
    page.until(lambda: page.all(".card"))
    page.press("/")
    page.press("grandma", page.keys.ENTER)
    page.until(lambda: page.all(".tile") and "grandma" in page.all("h2")[0].text)


def test_two_tabs_see_each_other(page):
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    page.open(page.address)
    page.open_group(0)
    page.click(".tile")
    page.press("n")
    page.until(lambda: "Made a new group" in page.said())
    page.browser.switch_to.window(first)
    page.until(lambda: len(page.sizes()) == 5)
    page.browser.switch_to.window(page.browser.window_handles[1])
    page.browser.close()
    page.browser.switch_to.window(first)


def test_group_again_from_the_page(page):
    page.open_group(0)
    page.click(".tile")
    page.press("l")
    page.until(lambda: "Locked" in page.said())
    page.press(page.keys.ESCAPE, "g")
    page.until(lambda: page.all("dialog button.main"))
    page.click("dialog button.main")
    page.until(lambda: "Grouping again: done" in page.said())


def test_map_and_lasso(page):
    page.press("2")
    page.until(lambda: page.all("canvas"))
    canvas = page.all("canvas")[0]
    page.click(".planetools button")
    width, height = canvas.size["width"] // 2 - 5, canvas.size["height"] // 2 - 5
    chain = page.chain().move_to_element_with_offset(canvas, -width, -height).click_and_hold()
    for x, y in ((2 * width, 0), (0, 2 * height), (-2 * width, 0)):
        chain = chain.move_by_offset(x, y)
    chain.release().perform()
    page.until(lambda: page.all(".selection"))
    assert int(page.all(".selection strong")[0].text.split()[0]) > 40


def test_same_and_not_the_same(page):
    page.press("5")
    page.until(lambda: page.all(".set"))
    assert page.all('.set input[type="radio"]')
    n = len(page.all(".set"))
    named = [button for button in page.all(".chips button") if button.is_enabled()]
    assert f"Identical files {n}" in [button.text for button in named]
    page.click(".set .actions button.bad")
    page.until(lambda: page.all("dialog .paths li"))
    page.press(page.keys.ESCAPE)  # nothing is thrown away without a yes
    page.until(lambda: not page.all("dialog"))
    page.until(lambda: len(page.all(".set")) == n)


def test_what_is_kept_is_remembered(page):
    page.press("5")
    page.until(lambda: page.all('.set input[type="radio"]'))
    first, second = page.all('.set input[type="radio"]')[:2]
    assert first.is_selected()
    second.click()
    page.browser.refresh()
    page.until(lambda: page.all('.set input[type="radio"]')[1].is_selected())
    kept = page.all(".set .path")[1].text
    page.click(".set .actions button.bad")
    page.until(lambda: page.all("dialog .paths li"))
    assert f"{kept} stays" in page.all("dialog p")[0].text
    assert kept not in [node.text for node in page.all("dialog .paths li")]


def test_pictures_dragged_to_the_edge_scroll_the_groups(page):
    page.browser.set_window_size(1000, 420)
    page.open_group(0)
    for n in range(5, 8):  # until the list of groups needs to be scrolled
        page.click(".tile")
        page.press("n")
        page.until(lambda n=n: len(page.browser.find_elements("css selector", ".targets a")) == n - 1)
    side = page.all(".targets")[0]
    assert not page.is_at_the_end(".targets")
    page.carry(page.all(".tile")[0], side, y=side.size["height"] // 2 - 8)
    page.until(lambda: page.is_at_the_end(".targets"))
    last = page.all(".targets li")[-1]
    name = last.find_element("css selector", "span").text
    page.chain().move_to_element(last).release().perform()
    page.until(lambda: f"Moved 1 picture to {name}" in page.said())


def test_a_group_dragged_to_the_edge_scrolls_the_wall(page):
    page.browser.set_window_size(700, 420)
    main = page.browser.find_element("id", "main")
    first, last = (page.browser.find_elements("css selector", ".card h3")[at].text for at in (0, -1))
    page.carry(page.all(".card a")[0], main, y=main.size["height"] // 2 - 8)
    page.until(lambda: page.is_at_the_end("#main"))
    page.chain().move_to_element(page.all(".card")[-1]).release().perform()
    page.until(lambda: f"Merged {first} into {last}" in page.said())


BOX = "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()"
CAN_BE_PRESSED = """
const [button] = arguments;
button.scrollIntoView({ inline: "center" });
const { left, right, top, bottom } = button.getBoundingClientRect();
const inside = left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight;
return inside && document.elementFromPoint((left + right) / 2, (top + bottom) / 2) === button;
"""


def test_the_bar_of_a_selection_on_a_phone(page):
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    page.open_group(0)
    page.press(page.keys.SPACE)
    page.until(lambda: page.all(".selection"))
    bar, pictures = page.js(BOX, ".selection"), page.js(BOX, ".scroller")
    assert pictures["bottom"] <= bar["top"]
    assert bar["bottom"] <= phone["height"]
    assert bar["height"] < 120
    buttons = page.all(".selection button")
    assert len(buttons) == 9
    assert all(page.js(CAN_BE_PRESSED, button) for button in buttons)
    page.press("h")
    page.until(lambda: "Hid 1 picture" in page.said())
    assert not page.all(".selection")
    assert page.js(BOX, ".scroller")["bottom"] == phone["height"]


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (420, True)])
def test_it_fits_the_window(page, width, dark):
    page.browser.set_window_size(width, 900)
    if dark:
        page.js("document.documentElement.dataset.theme = 'dark'")
    for view in ("", "map", "time", "places", "same"):
        page.go(f"#/{view}")
        page.until(lambda: page.js("return document.readyState") == "complete")
        assert page.js("return document.documentElement.scrollWidth <= innerWidth")
        unnamed = page.js(UNNAMED)
        assert unnamed == []


def test_nothing_is_loaded_from_elsewhere(page, browser):
    import json

    for view in ("map", "time", "places", "same"):
        page.go(f"#/{view}")
        page.until(lambda: page.all("canvas, .timeline, .same"))
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert len(requests) > 10
    own = (page.address.partition("?")[0], "blob:", "data:", "chrome:", "chrome-untrusted:", "about:")
    assert [url for url in requests if not url.startswith(own)] == []
