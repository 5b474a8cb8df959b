"""The review page in a browser: where one is, as the address, the history and the title of the tab say."""

import pytest

pytest.importorskip("fastapi")
from browsing import opened


@pytest.fixture
def page(browser, own_run):
    with opened(browser, own_run) as page:
        yield page


def picture(page):
    """The heading of the large view, None while there is none."""
    return page.js("return document.querySelector('dialog.viewer h2')?.textContent ?? null")


def open_picture(page, group=0):
    page.open_group(group)
    page.press(page.keys.ENTER)
    page.until(lambda: picture(page))
    return picture(page)


def phone(page, width, height=844):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 1})


def swipe(page, by):
    box = page.js("return document.querySelector('.viewer figure').getBoundingClientRect().toJSON()")
    x, y = box["left"] + box["width"] / 2, box["top"] + box["height"] / 2
    for kind, at in (("touchStart", 0), ("touchMove", by / 2), ("touchMove", by), ("touchEnd", None)):
        points = [] if at is None else [{"x": x + at, "y": y + at / 10}]
        page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def place(page):
    return page.js("return document.querySelector('.viewer .place')?.textContent")


def test_back_closes_the_large_view_and_forward_opens_it(page):
    first = open_picture(page)
    group = page.js("return location.hash.split('?')[0]")
    page.press(page.keys.ARROW_RIGHT)
    page.until(lambda: picture(page) != first and place(page).startswith("2 of"))
    second, address = picture(page), page.browser.current_url
    page.browser.back()
    page.until(lambda: picture(page) is None)
    assert page.js("return location.hash") == group
    assert page.all(".tile")
    page.browser.forward()
    page.until(lambda: picture(page) == second)
    assert page.browser.current_url == address
    page.browser.refresh()
    page.until(lambda: picture(page) == second and place(page).startswith("2 of"))
    page.click(".viewer .close")
    page.until(lambda: picture(page) is None and page.js("return location.hash") == group)
    page.until(lambda: page.js("return document.activeElement.getAttribute('aria-posinset')") == "2")
    page.browser.back()  # closing left nothing behind
    page.until(lambda: page.all(".card"))


def test_the_address_of_a_picture_opens_it_in_another_tab(page):
    first = open_picture(page)
    address = page.browser.current_url
    page.browser.switch_to.new_window("tab")
    page.browser.get(address)
    page.until(lambda: picture(page) == first)
    page.press(page.keys.ESCAPE)
    page.until(lambda: picture(page) is None and page.all(".tile"))
    assert "picture" not in page.browser.current_url
    page.go("#/?picture=999999")  # none has this number
    page.until(lambda: page.all(".card") and page.js("return location.hash") == "#/")


def test_back_from_similar_pictures_leads_to_the_picture(page):
    first = open_picture(page)
    page.press("s")
    page.until(lambda: picture(page) is None and "Most like it" in page.all("h2")[0].text)
    page.browser.back()
    page.until(lambda: picture(page) == first)


def test_close_is_in_sight_and_a_finger_turns_the_pictures(page):
    first = open_picture(page)
    for width, height in ((844, 390), (320, 568), (390, 844)):
        phone(page, width, height)
        box = page.js("return document.querySelector('.viewer .close').getBoundingClientRect().toJSON()")
        assert 0 <= box["left"] < box["right"] <= width
        assert 0 <= box["top"] < box["bottom"] <= height / 2
    swipe(page, -120)
    page.until(lambda: picture(page) != first and place(page).startswith("2 of"))
    swipe(page, 120)
    page.until(lambda: picture(page) == first and place(page).startswith("1 of"))
    swipe(page, 120)  # there is none before it
    swipe(page, -10)  # a finger that trembles
    assert picture(page) == first
    page.click(".viewer .close")
    page.until(lambda: picture(page) is None)


def test_a_correction_of_a_large_picture_goes_on_to_the_next(page):
    first = open_picture(page)
    n = int(place(page).split()[-1])
    page.press(page.keys.ARROW_RIGHT)
    page.until(lambda: picture(page) != first)
    second = picture(page)
    for key in "xhn":
        page.press(key)
        page.until(lambda: picture(page) not in (first, second))
        page.until(lambda: place(page).startswith("2 of") and int(place(page).split()[-1]) < n)
        page.press("z")  # and undoing leads back to it
        page.until(lambda: picture(page) == second and place(page) == f"2 of {n}")


def test_the_last_picture_of_a_view_goes_on_to_the_one_before_and_then_closes(page):
    page.open_group(0)
    page.press(page.keys.ENTER)
    page.until(lambda: picture(page))
    page.press("h")
    page.until(lambda: "Hid " in page.said())
    page.press(page.keys.ESCAPE)
    page.until(lambda: picture(page) is None)
    page.go("#/hidden")
    page.until(lambda: page.all("h2")[0].text == "Hidden" and page.all(".tile"))
    page.press(page.keys.END, page.keys.ENTER)
    page.until(lambda: picture(page))
    page.press("h")  # shows it again, and the copy of its file
    page.until(lambda: picture(page) is None)
    assert page.js("return location.hash") == "#/hidden"


def test_x_goes_on_where_the_picture_stays(page):
    page.go("#/search/stripes")
    page.until(lambda: page.all(".tile"))
    page.press(page.keys.ENTER)
    page.until(lambda: picture(page))
    first = picture(page)
    page.press("x")
    page.until(lambda: picture(page) != first and place(page).startswith("2 of"))


def test_the_tab_is_called_after_what_it_shows(page):
    library = page.js("return document.getElementById('library').textContent")
    for path, name in (("map", "Map"), ("time", "Time"), ("places", "Places"), ("same", "Same"), ("", "Groups")):
        page.go(f"#/{path}")
        page.until(lambda name=name: page.browser.title == f"{name} · {library} · selfsort")
    page.open_group(0)
    name = page.js("return document.querySelector('input.name').placeholder")
    page.until(lambda: page.browser.title == f"{name} · {library} · selfsort")
    page.all("input.name")[0].click()
    page.press(*"Mine", page.keys.ENTER)
    page.until(lambda: page.browser.title == f"Mine · {library} · selfsort")
    page.press(page.keys.ENTER)
    page.until(lambda: picture(page))
    page.until(lambda: page.browser.title == f"{picture(page)} · {library} · selfsort")
    page.press(page.keys.ESCAPE)
    page.until(lambda: page.browser.title == f"Mine · {library} · selfsort")
    page.go("#/search/stripes")
    page.until(lambda: page.browser.title == f"“stripes” · {library} · selfsort")


def finer(page):
    page.go("#/")
    page.until(lambda: page.all(".card"))
    before = len(page.all(".card"))
    page.press("]")
    page.until(lambda: len(page.all(".card")) > before)


def is_red(page):
    return page.js("return document.getElementById('said').classList.contains('bad')")


def test_a_finer_group_keeps_its_address(page):
    finer(page)
    page.click(".card a", 1)
    page.until(lambda: page.all(".tile"))
    shown = page.js("return [...document.querySelectorAll('.tile')].map((tile) => tile.ariaLabel)")
    assert "groups=" in page.js("return location.hash")
    page.browser.refresh()
    page.until(lambda: page.all(".tile"))
    assert page.js("return [...document.querySelectorAll('.tile')].map((tile) => tile.row).length") == len(shown)
    page.until(lambda: page.js("return [...document.querySelectorAll('.tile')].map((tile) => tile.ariaLabel)") == shown)
    page.press(page.keys.ESCAPE)
    page.until(lambda: page.all(".card"))
    assert page.all(".granularity button")  # still the finer ones


def test_no_number_of_groups_in_an_address_is_an_error(page):
    for groups in ("0", "1", "999999", "1e9", "-3", "x"):
        page.go(f"#/nowhere?groups={groups}")
        page.until(lambda: page.all("h2"))
        assert not is_red(page)
        page.press(page.keys.ESCAPE)
        page.until(lambda: page.all(".card"))


def test_in_finer_groups_a_correction_says_how_to_go_on(page):
    finer(page)
    page.click(".card a", 0)
    page.until(lambda: page.all(".tile"))
    page.press(page.keys.SPACE)
    for key in "mxhln":
        page.press(key)
        page.until(lambda: "only your own can be corrected" in page.said())
        assert not is_red(page)
        page.js("document.getElementById('said').replaceChildren()")
    page.press("m")
    page.click("#said button")
    page.until(lambda: page.all(".card") and page.js("return location.hash") == "#/")
    assert len(page.sizes()) == 4


def test_the_large_view_of_a_finer_group_leads_back(page):
    finer(page)
    page.click(".card a", 0)
    page.until(lambda: page.all(".tile"))
    page.press(page.keys.ENTER)
    page.until(lambda: page.all(".viewer .note"))
    shown = {button.text for button in page.all(".viewer aside button") if button.is_enabled()}
    assert shown == {"Similar", "Close", "Back to your groups"}
    page.click(".viewer .note button")
    page.until(lambda: picture(page) is None and page.all(".card") and page.js("return location.hash") == "#/")


def test_pictures_selected_in_finer_groups_lead_back(page):
    finer(page)
    page.click(".card a", 0)
    page.until(lambda: page.all(".tile"))
    assert not page.all("[data-drop]")
    page.press(page.keys.SPACE)
    page.until(lambda: page.all(".selection"))
    page.click(".selection [data-key=own]")
    page.until(lambda: page.all(".card") and len(page.sizes()) == 4)


def test_undo_in_a_finer_group_leads_to_the_own_groups(page):
    page.open_group(0)
    page.click(".tile")
    page.press("l")
    page.until(lambda: "Locked" in page.said())
    finer(page)
    page.click(".card a", 0)
    page.until(lambda: page.all(".tile"))
    page.press("z")
    page.until(lambda: page.all(".card") and len(page.sizes()) == 4)


def test_a_group_that_is_gone_has_a_way_out(page):
    page.go("#/group/123456")
    page.until(lambda: page.all("h2")[0].text == "This group is gone")
    page.click(".back")
    page.until(lambda: page.all(".card"))


def test_not_the_same_in_finer_groups_keeps_the_set(page):
    finer(page)
    page.go("#/same")
    page.until(lambda: page.all(".set"))
    chips = page.all(".chips button")
    next(chip for chip in chips if chip.text.startswith("The same shot")).click()
    page.until(lambda: any(button.text == "Not the same" for button in page.all(".set button")))
    before = len(page.all(".set"))
    next(button for button in page.all(".set button") if button.text == "Not the same").click()
    page.until(lambda: "only your own can be corrected" in page.said())
    assert len(page.all(".set")) == before
