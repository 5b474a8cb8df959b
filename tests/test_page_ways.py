"""The review page in a browser: fingers, maps by keyboard, previews, and what is not there any more."""

import shutil

import pytest

pytest.importorskip("fastapi")
from browsing import opened
from selfsort import organize


@pytest.fixture
def page(browser, own_run):
    with opened(browser, own_run) as page:
        yield page


def active(page):
    return page.js(
        "return document.activeElement.className || document.activeElement.id || document.activeElement.tagName"
    )


def test_grouping_like_a_preview_ends_it(page):
    page.click(".views a", 0)
    page.press("]")
    page.until(lambda: page.all(".granularity button"))
    page.click(".granularity button.main")
    page.until(lambda: page.all("dialog[open]"))
    assert "cannot be brought back by Undo" in page.all("dialog p")[0].text
    page.press(page.keys.ENTER)
    page.until(lambda: "done" in page.said())
    page.until(lambda: not page.all(".granularity button"))
    page.open_group(0)
    page.press(page.keys.SPACE, "h")
    page.until(lambda: "Hid " in page.said())


def test_the_slider_goes_by_groups_and_says_how_many(page):
    before = len(page.all(".card"))
    page.js("arguments[0].focus()", page.all(".granularity input")[0])
    page.press(page.keys.ARROW_RIGHT)
    page.until(lambda: len(page.all(".card")) > before)
    n = len([card for card in page.all(".card") if "Belong nowhere" not in card.text])
    page.until(lambda: page.all(".granularity input")[0].get_attribute("aria-valuetext") == f"{n} groups")


@pytest.mark.parametrize("width", [390, 1280])
def test_every_button_of_the_export_can_be_seen(page, width):
    page.browser.set_window_size(width, 800)
    page.click("#menu")
    page.click('dialog [value="export"]')
    page.until(lambda: page.all("#export-mode"))
    page.js("arguments[0].value = 'xmp'; arguments[0].dispatchEvent(new Event('change'))", page.all("#export-mode")[0])
    box = page.js("const b = document.querySelector('dialog[open]'); return [b.scrollWidth, b.clientWidth]")
    assert box[0] <= box[1]
    for label in page.all("dialog[open] label"):
        assert label.size["height"] < 60  # no letters one below the other


def test_a_finger_selects_by_a_long_press_and_by_a_button(page):
    page.browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 1})
    page.open_group(0)

    def touch(kind, tile=None, by=0):
        points = []
        if tile is not None:
            x, y = (
                page.js("const b = arguments[0].getBoundingClientRect(); return b.left + b.width / 2", tile) + by,
                page.js("const b = arguments[0].getBoundingClientRect(); return b.top + b.height / 2", tile),
            )
            points = [{"x": x, "y": y}]
        page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def tap(tile):
        touch("touchStart", tile)
        touch("touchEnd")

    first, second = page.all(".tile")[:2]
    touch("touchStart", first)
    touch("touchMove", first, 3)
    page.until(lambda: len(page.selected()) == 1)
    touch("touchEnd")
    page.js("return new Promise((done) => setTimeout(done, 300))")
    assert len(page.selected()) == 1
    tap(second)
    page.until(lambda: len(page.selected()) == 2)
    page.press(page.keys.ESCAPE)
    page.until(lambda: not page.selected())
    page.js("document.querySelector('.touch').click()")
    tap(page.all(".tile")[2])
    page.until(lambda: len(page.selected()) == 1)
    assert not page.all("dialog")


def test_the_map_by_keyboard(page):
    page.click(".views a", 1)
    page.until(lambda: page.all("canvas"))
    page.js("arguments[0].focus()", page.all("canvas")[0])
    page.command("a")
    page.until(lambda: page.all(".selection strong"))
    n = page.js("return document.querySelector('.selection strong').textContent")
    assert int(n.split()[0]) > 40
    page.press(page.keys.ESCAPE)
    page.until(lambda: not page.all(".selection"))
    page.js("arguments[0].focus()", page.all("canvas")[0])
    page.press("+", page.keys.ARROW_LEFT, page.keys.SPACE)
    page.until(lambda: page.all(".selection strong")[0].text == "1 selected")
    page.press(page.keys.SPACE)
    page.until(lambda: not page.all(".selection"))
    page.press(page.keys.ENTER)
    page.until(lambda: page.all("dialog.viewer"))


def test_where_one_is_is_told(page):
    for place, name in enumerate(["Groups", "Map", "Time", "Places", "Same"]):
        page.click(".views a", place)
        page.until(
            lambda name=name: page.js("return document.querySelector('[aria-current=page]').textContent") == name
        )
    page.open_group(0)
    tiles = page.all(".tile")
    assert [int(tile.get_attribute("aria-posinset")) for tile in tiles[:3]] == [1, 2, 3]
    n = int(page.all(".head .size")[0].text.split()[0])
    assert {int(tile.get_attribute("aria-setsize")) for tile in tiles} == {n}


def test_the_focus_is_never_lost(page):
    page.open_group(0)
    name = page.all("input.name")[0]
    name.click()
    page.press(*"Mine", page.keys.ENTER)
    page.until(lambda: "Named it Mine." in page.said())
    assert active(page) == "tile"
    page.js("document.getElementById('words').focus()")
    page.press(page.keys.ESCAPE)
    assert active(page) == "tile"


def test_a_name_that_is_half_typed_in_another_window_is_not_kept(page):
    page.open_group(0)
    page.all("input.name")[0].click()
    page.press(*"Half")
    page.js("document.querySelector('input.name').dispatchEvent(new FocusEvent('blur'))")  # as a switch of windows does
    assert page.said() == ""
    page.press(page.keys.ESCAPE)
    assert page.all("input.name")[0].get_attribute("value") == ""


def test_addresses_that_need_to_be_asked_for_again(page):
    page.open(page.address.split("?")[0] + "#/found")
    page.until(lambda: page.js("return location.hash") == "#/" and page.all(".card"))
    page.browser.refresh()
    page.go("#/picked")
    page.until(lambda: page.js("return location.hash") == "#/places")


def test_escape_gives_up_what_was_chosen_and_goes_back_where_one_came_from(page):
    page.js("arguments[0].focus()", page.all(".card a")[0])
    page.press(page.keys.SPACE, page.keys.ARROW_RIGHT, page.keys.SPACE)
    page.until(lambda: page.all(".merging"))
    page.press(page.keys.ESCAPE)
    page.until(lambda: not page.all(".merging"))
    page.go("#/undated")
    page.until(lambda: page.all(".tile"))
    page.press(page.keys.ESCAPE)
    page.until(lambda: page.js("return location.hash") == "#/time")


def test_the_keys_of_the_bar_in_the_large_view(page):
    page.open_group(0)
    page.press(page.keys.ENTER)
    page.until(lambda: page.all("dialog.viewer"))
    assert not page.all(".step.before")[0].is_enabled()
    page.press("h")
    page.until(lambda: "Hid " in page.said())
    n = page.said().split()[1]  # with copies of its file
    page.press("z")
    page.until(lambda: f"Undone: hide {n} picture" in page.said())


def test_that_they_are_not_the_same_is_taken_back(page):
    page.click(".views a", 4)
    page.until(lambda: page.all(".set"))

    def chips():
        return page.js("return [...document.querySelectorAll('.chips button')].map((chip) => chip.textContent)")

    def press(words):  # at once, because the list may be drawn anew between finding and clicking
        script = (
            "[...document.querySelectorAll('main button')].find((b) => b.textContent.startsWith(arguments[0])).click()"
        )
        page.js(script, words)

    before = chips()
    assert before[1].endswith(" 2")
    press("The same shot")
    page.until(lambda: page.js("return document.querySelectorAll('.chips button')[1].ariaPressed") == "true")
    press("Not the same")
    page.until(lambda: chips()[1].endswith(" 1"))
    page.press("z")
    page.until(lambda: chips() == before)


def test_originals_that_are_gone_are_said_to_be(browser, library, tmp_path):
    pictures = tmp_path / "pictures"
    shutil.copytree(library.root, pictures)
    organize(pictures, tmp_path / "run")
    shutil.rmtree(pictures / "noise")
    with opened(browser, tmp_path / "run") as page:
        page.js("document.getElementById('words').value = 'noise/'")
        page.js("document.getElementById('search').requestSubmit()")
        page.until(lambda: page.all(".tile"))
        page.js("document.querySelector('.tile').focus()")
        page.press(page.keys.ENTER)
        page.until(lambda: page.all("dialog.viewer .warn"))
        assert "gone or was changed" in page.all("dialog.viewer .warn")[0].text
        page.press(page.keys.ESCAPE)
        page.until(lambda: not page.all("dialog"))
        page.press("g")
        page.until(lambda: page.all("dialog[open]"))
        page.press(page.keys.ENTER)
        page.until(lambda: "not there any more" in page.said())
