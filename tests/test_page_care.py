"""The review page in a browser: the keyboard keeps its place, and a server that is gone is no secret."""

import os
import re
import signal
import subprocess
import sys

import pytest

pytest.importorskip("fastapi")
from browsing import Page, opened, served
from selfsort.photos.corrected import Corrected

TOGGLE = """
const [row, done] = arguments;
import("/static/selection.js").then(({ selection }) => done(selection.toggle(row)));
"""


@pytest.fixture
def page(browser, own_run):
    with opened(browser, own_run) as page:
        yield page


def focused(page):
    return page.js("return document.activeElement.textContent || document.activeElement.className")


def focus(page, selector, index=0):
    page.until(lambda: page.all(selector))
    page.js("arguments[0].focus()", page.all(selector)[index])


def test_the_focus_stays_on_a_filter(page):
    kinds = [button.text for button in page.all(".chips button")]
    assert len(kinds) > 2
    for place in (1, 2, 0):
        focus(page, ".chips button", place)
        page.press(page.keys.ENTER)
        page.until(lambda place=place: page.all(".chips button")[place].get_attribute("aria-pressed") == "true")
        assert focused(page) == kinds[place]


def test_the_focus_stays_in_the_bar_of_a_selection_and_goes_to_the_pictures_after_it(page):
    page.open_group(0)
    page.press(page.keys.SPACE)
    focus(page, ".selection button", 3)
    assert focused(page) == "Lock"
    rows = page.js("return [...document.querySelectorAll('.tile')].map((tile) => tile.row)")
    page.browser.execute_async_script(TOGGLE, rows[3])  # as a finger does
    page.until(lambda: page.all(".selection strong")[0].text == "2 selected")
    assert focused(page) == "Lock"
    page.press(page.keys.ENTER)
    page.until(lambda: "Locked 2 pictures" in page.said() and not page.all(".selection"))
    assert page.js("return document.activeElement.className") == "tile"


def test_the_focus_goes_to_a_neighbor_of_what_went_away(page):
    focus(page, ".card a")
    page.press(page.keys.SPACE, page.keys.ARROW_RIGHT, page.keys.SPACE)
    focus(page, ".merging button", 1)
    page.press(page.keys.ENTER)  # choose none
    page.until(lambda: not page.all(".merging"))
    assert page.js("return document.activeElement.closest('.card') !== null")


def test_enter_does_what_the_marked_button_says(page, tmp_path):
    page.open_group(0)
    page.click(".buttons button")
    page.until(lambda: page.all("dialog input"))
    page.press("2", page.keys.ENTER)
    page.until(lambda: "Split into 2" in page.said())
    page.press("g")  # where there is no field, the button has the focus
    page.until(lambda: page.all("dialog button.main"))
    assert focused(page) == "Group again"
    page.press(page.keys.ESCAPE)
    page.until(lambda: not page.all("dialog"))
    page.click(".tile")
    page.press("m")
    page.until(lambda: page.all("dialog .choices"))
    name = page.all(".choices li span:not(.plus)")[2].text
    page.press(name)
    page.until(lambda: name in page.all(".choices button.first")[0].text)
    page.press(page.keys.ENTER)
    page.until(lambda: f"Moved 1 picture and 1 copy to {name}" in page.said())
    page.click("#menu")
    page.until(lambda: page.all("dialog .menu button"))
    next(button for button in page.all(".menu button") if button.text == "Export…").click()
    page.until(lambda: page.all("#export-place"))
    page.all("#export-place")[0].send_keys(str(tmp_path / "out"), page.keys.ENTER)
    page.until(lambda: page.said().startswith("Exporting: "))
    assert list((tmp_path / "out").glob("*/*"))  # and not only planned


def test_a_server_that_does_not_answer_for_a_while(page, own_run):
    page.open_group(0)
    assert not page.all("#trouble")
    os.kill(page.server.pid, signal.SIGSTOP)
    try:
        page.until(lambda: page.all("#trouble"))
        assert "does not answer" in page.all("#trouble")[0].text
        page.click(".tile")
        page.press("h")
        page.until(lambda: "nothing was changed" in page.said())
    finally:
        os.kill(page.server.pid, signal.SIGCONT)
    page.until(lambda: not page.all("#trouble"))
    assert page.selected()
    page.press("h")
    page.until(lambda: "Hid 1 picture" in page.said())
    with Corrected(own_run, read_only=True) as corrected:
        assert [entry.do for entry in corrected.log.entries()] == ["hide"]


def test_a_server_that_ended_and_was_started_again(browser, own_run):
    with served(own_run) as (server, address):
        page = Page(browser, address)
        page.open_group(0)
        page.click(".tile")
        server.kill()
        server.wait()
        page.press("h")
        page.until(lambda: "may not have been kept" in page.said() or "nothing was changed" in page.said())
        page.until(lambda: "start it again" in page.all("#trouble")[0].text)
    port = re.search(r":(\d+)/", address)[1]
    with served(own_run, port) as (_, again):
        assert again != address
        page.until(lambda: "was started again" in page.all("#trouble")[0].text)
        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        page.open(again)
        browser.switch_to.window(first)
        page.until(lambda: not page.all("#trouble") and page.all(".tile"))
        page.click(".tile")
        page.press("h")  # with the token of this server
        page.until(lambda: "Hid 1 picture" in page.said())


def test_the_address_that_is_opened_is_good_for_one_time(browser, own_run):
    opened, program = own_run.with_name("opened"), own_run.with_name("browser.py")
    program.write_text(f"import sys, pathlib; pathlib.Path({str(opened)!r}).write_text(sys.argv[1])")
    command = [sys.executable, "-m", "selfsort.cli", "review", str(own_run)]
    environment = os.environ | {"BROWSER": f"{sys.executable} {program} %s"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            printed = re.search(r"http\S+", server.stdout.readline())[0]
            home, _, token = printed.partition("?token=")
            page = Page(browser)
            page.until(opened.exists)
            page.until(opened.read_text)
            once = opened.read_text()
            assert once.startswith(f"{home}?once=")
            assert token not in once
            page.open(once)
            assert browser.current_url == home
            browser.refresh()
            page.until(lambda: page.all(".card"))
            browser.switch_to.new_window("tab")
            page.open(home)
            browser.delete_all_cookies()
            browser.get(once)
            text = browser.find_element("css selector", "p").text
            assert "used already" in text
            assert "Open the address that selfsort review printed" in text
            page.open(printed)
        finally:
            server.terminate()
