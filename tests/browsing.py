"""The review page in a browser, as a person uses it."""

import multiprocessing
import os
import re
import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def served(run, port=0, program=("-m", "selfsort.cli"), before=None):
    """Serve a run as people do, and yield the process and the address that it prints."""
    command = [sys.executable, *program, "review", str(run), "--no-open", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=before) as server:
        try:
            yield server, printed_address(server.stdout)
        finally:
            server.terminate()


def printed_address(file):
    address = re.search(r"http\S+", file.readline())
    assert address, "the command printed no address"
    return address[0]


@contextmanager
def forked(run):
    """Serve a run by a fork of a process that has imported what the server needs, which takes half of the start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["selfsort.app.server", "selfsort.cli.review", "uvicorn.loops.asyncio"])
    ours, theirs = context.Pipe(duplex=False)
    server = context.Process(target=review, args=(str(run), theirs))
    server.start()
    theirs.close()
    try:
        with open(os.dup(ours.fileno()), encoding="utf-8") as file:
            yield server, printed_address(file)
    finally:
        server.terminate()
        server.join()


def review(run, pipe):
    from selfsort.cli import main

    sys.stdout = open(os.dup(pipe.fileno()), "w", encoding="utf-8", buffering=1)  # noqa: SIM115
    main(["review", run, "--no-open"])


@contextmanager
def opened(browser, run):
    """Serve a run and open it, as a `Page`; nothing may go wrong in the browser meanwhile."""
    with (served if os.name == "nt" else forked)(run) as (server, address):
        browser.set_script_timeout(20)
        page = Page(browser, address)
        page.server = server
        yield page
        assert browser.get_log("browser") == []


class Page:
    """What a person does with the page."""

    def __init__(self, browser, address=None):
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver import ActionChains, Keys
        from selenium.webdriver.support.wait import WebDriverWait

        self.browser, self.keys, self.chain = browser, Keys, lambda: ActionChains(browser)
        self.until = lambda condition: WebDriverWait(
            browser, 15, poll_frequency=0.05, ignored_exceptions=(StaleElementReferenceException, IndexError)
        ).until(lambda _: condition())
        self.address = address
        if address:
            self.open(address)

    def open(self, address):
        self.browser.get(address)
        self.until(lambda: self.all(".card, .tile"))

    def all(self, selector):
        return [node for node in self.browser.find_elements("css selector", selector) if node.is_displayed()]

    def js(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def go(self, hash_):
        self.js("location.hash = arguments[0]", hash_)

    def press(self, *keys):
        self.chain().send_keys(*keys).perform()

    def command(self, key, shift=False):
        chain = self.chain().key_down(self.keys.CONTROL)
        if shift:
            chain = chain.key_down(self.keys.SHIFT)
        chain.send_keys(key).key_up(self.keys.CONTROL).key_up(self.keys.SHIFT).perform()

    def sizes(self):
        """Return the numbers of pictures that the cards say."""
        return [int(card.text.split()[0]) for card in self.all(".card .size")]

    def open_group(self, index=0):
        self.go("#/")
        self.until(lambda: self.all(".card"))
        self.click(".card a", index)
        self.until(lambda: self.all(".tile"))

    def click(self, selector, index=0):
        """Click what a selector finds, again if the page was drawn anew just then."""
        self.until(lambda: self.all(selector)[index].click() or True)

    def said(self):
        return self.browser.find_element("id", "said").text

    def selected(self):
        return self.all('.tile[aria-selected="true"]')

    def drag(self, node, target):
        self.chain().click_and_hold(node).move_by_offset(15, 15).move_to_element(target).release().perform()

    def carry(self, node, to, x=0, y=0):
        """Take a node and hold it over another, off its center."""
        chain = self.chain().click_and_hold(node).move_by_offset(15, 15)
        chain.move_to_element_with_offset(to, x, y).perform()

    def is_at_the_end(self, selector):
        """Whether something has scrolled as far as it can, and had to."""
        return self.js(
            """const { scrollTop, clientHeight, scrollHeight } = document.querySelector(arguments[0]);
            return scrollTop > 0 && scrollTop + clientHeight >= scrollHeight - 1""",
            selector,
        )
