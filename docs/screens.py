"""Make the pictures of the review page that the guide shows, from the demo's pictures. Needs Chromium and chromedriver.

python docs/screens.py
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys

GUIDE = Path(__file__).parent / "guide"


def main() -> None:
    """Group the demo's pictures, serve them, and look."""
    with tempfile.TemporaryDirectory() as folder:
        selfsort = [sys.executable, "-m", "selfsort.cli"]
        subprocess.run([*selfsort, "demo", "-o", f"{folder}/demo"], check=True)
        command = [*selfsort, "review", f"{folder}/demo/run", "--no-open"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            address = re.search(r"http\S+", server.stdout.readline())
            assert address is not None
            try:
                look(address[0])
                look_at_phone(address[0])
            finally:
                server.terminate()


def look(address: str) -> None:
    """Write the pictures."""
    page = _browser()
    try:
        page.get(address)
        time.sleep(3)
        page.save_screenshot(str(GUIDE / "review-wall.png"))
        page.execute_script("document.documentElement.dataset.theme = 'dark'")
        page.find_elements("css selector", ".card a")[1].click()
        time.sleep(2)
        tiles = page.find_elements("css selector", ".tile")
        tiles[2].click()
        ActionChains(page).key_down(Keys.SHIFT).click(tiles[5]).key_up(Keys.SHIFT).perform()
        target = page.find_elements("css selector", ".targets li")[4]
        ActionChains(page).click_and_hold(tiles[3]).move_by_offset(15, 15).move_to_element(target).perform()
        time.sleep(0.5)
        page.save_screenshot(str(GUIDE / "review-group.png"))
        ActionChains(page).send_keys(Keys.ESCAPE).release().perform()
        page.execute_script("document.documentElement.dataset.theme = 'light'; location.hash = '#/map'")
        time.sleep(2)
        page.save_screenshot(str(GUIDE / "review-map.png"))
    finally:
        page.quit()


def look_at_phone(address: str) -> None:
    """Write the pictures of the width of a phone: the wall, and a group in the dark, side by side."""
    page = _browser({"width": 390, "height": 780, "pixelRatio": 1})
    try:
        page.get(address)
        time.sleep(3)
        wall = _screenshot(page)
        page.execute_script("document.documentElement.dataset.theme = 'dark'")
        page.find_elements("css selector", ".card a")[1].click()
        time.sleep(2)
        group = _screenshot(page)
    finally:
        page.quit()
    both = Image.new("RGB", (wall.width + 20 + group.width, wall.height), "white")
    both.paste(wall, (0, 0))
    both.paste(group, (wall.width + 20, 0))
    both.save(GUIDE / "review-phone.png")


def _browser(phone: dict[str, int] | None = None) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1160,860", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    if phone:
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": phone})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def _screenshot(page: webdriver.Chrome) -> Image.Image:
    return Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")


if __name__ == "__main__":
    main()
