"""Fixtures of all tests: a cache folder of their own, real data where there is some, and a small picture library."""

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import selfsort

KINDS = ("stripes", "disks", "noise", "pages", "checks")
N_PER_KIND = 11
RUN_FILES = {
    "SHA256SUMS",
    "run.json",
    "items.parquet",
    "labels.npy",
    "levels.npy",
    "confidence.npy",
    "embedding.npy",
    "neighbors.npy",
    "map.npy",
    "merges.npy",
    "groups.json",
    "thumbnails.parquet",
    "report.html",
}


def pytest_configure(config):
    # before anything is collected, so that doctests and subprocesses have it too; workers take that of their parent
    if not hasattr(config, "workerinput"):
        os.environ["SELFSORT_CACHE"] = config.selfsort_cache = tempfile.mkdtemp(prefix="selfsort-cache-")


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.selfsort_cache, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_session():
    """Where the cache of every test is, unless it asks for `fresh_cache`."""
    return Path(os.environ["SELFSORT_CACHE"])


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch, cache_of_the_session):
    """An empty cache for one test; only the default encoder's file is there, to save the time of building it."""
    folder = tmp_path / "cache of this test"
    folder.mkdir()
    encoders = cache_of_the_session / "encoders"
    if encoders.exists():
        shutil.copytree(encoders, folder / "encoders", ignore=shutil.ignore_patterns(".*"))  # what is half written
    monkeypatch.setenv("SELFSORT_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def data():
    """Where the real pictures are."""
    value = os.environ.get("SELFSORT_DATA")
    if not value or not Path(value).is_dir():
        pytest.skip("real pictures: set SELFSORT_DATA to the folder that holds them")
    return Path(value)


def draw(kind, number, side=96):
    """Return one picture of a kind; the number varies its colors, places and sizes."""
    rng = np.random.default_rng([KINDS.index(kind), number])
    light, dark = rng.integers(190, 256, 3), rng.integers(0, 90, 3)
    if kind == "noise":
        return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
    y, x = np.mgrid[:side, :side]
    if kind == "stripes":
        on = ((x * rng.uniform(0.0, 0.4) + y) // rng.integers(4, 8)) % 2
    elif kind == "checks":
        on = (x // 12 + y // 12 + number) % 2
    else:
        on = np.ones((side, side), int)
    picture = Image.fromarray(np.where(on[..., None] == 1, light, dark).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    if kind == "disks":
        for _ in range(4):
            a, b, r = *rng.integers(10, side - 10, 2), rng.integers(8, 20)
            pen.ellipse((int(a - r), int(b - r), int(a + r), int(b + r)), fill=tuple(map(int, rng.integers(0, 150, 3))))
    if kind == "pages":
        for top in range(6, side - 6, 9):
            words = "".join(chr(97 + c) if c < 26 else " " for c in rng.integers(0, 30, 14))
            pen.text((6, top), words, fill=tuple(map(int, dark)))
    return picture


def pixels(n=16, size=224):
    """Half noise, half drawings."""
    rng = np.random.default_rng(0)
    drawn = [np.asarray(draw(KINDS[i % 5], i, size).convert("RGB")) for i in range(n // 2)]
    return np.concatenate([np.stack(drawn), rng.integers(0, 256, (n - n // 2, size, size, 3), dtype=np.uint8)])


def snapshot(folder):
    """Return what every file below a folder is, exactly."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()
    }


@dataclass(frozen=True)
class Library:
    """A folder of pictures that are easy to tell apart.

    `kinds` has the kind of every picture by path, `copies` names pictures with equal bytes, and `broken` what cannot
    be read.
    """

    root: Path
    kinds: dict[str, str]
    copies: tuple[tuple[str, str], ...]
    broken: tuple[str, ...]

    def __len__(self):
        return len(self.kinds) + len(self.broken)


def write_library(root):
    """Write the pictures of `Library` to a folder: 55 of five kinds, 4 copies, 4 broken files."""
    kinds = {}
    for kind in KINDS:
        (root / kind).mkdir(parents=True)
        for number in range(N_PER_KIND):
            name = f"{kind}/{number:02d}.{'jpg' if number % 3 == 1 else 'png'}"
            draw(kind, number).save(root / name, quality=90)
            kinds[name] = kind
    copies = tuple((f"{kind}/00.png", f"copy of {kind}.png") for kind in KINDS[:4])
    for original, copy in copies:
        shutil.copyfile(root / original, root / copy)
        kinds[copy] = kinds[original]
    whole = (root / "noise/01.jpg").read_bytes()
    broken = {"cut.jpg": whole[:90], "empty.png": b"", "notes.jpg": b"not a picture at all", "zeros.png": bytes(500)}
    for name, content in broken.items():
        (root / name).write_bytes(content)
    old = 1_700_000_000  # stamps of files changed just now are not trusted
    for path in root.rglob("*"):
        os.utime(path, (old, old))
    return Library(root, kinds, copies, tuple(broken))


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """Some sixty generated pictures of five kinds, with copies and broken files; only to be read."""
    return write_library(tmp_path_factory.mktemp("library") / "pictures")


@pytest.fixture(autouse=True)
def originals_stay(request):
    """See that no test changes the pictures that tests share, not even their times."""
    names = request.fixturenames
    shared = request.getfixturevalue("library") if "library" in names else None
    roots = [shared.root] if isinstance(shared, Library) else []  # some tests have a library of their own
    roots += [request.getfixturevalue("reviewed") / "pictures"] if "reviewed" in names else []
    before = [snapshot(root) for root in roots]
    yield
    assert [snapshot(root) for root in roots] == before


@pytest.fixture
def own_library(library, tmp_path):
    """A copy of `library` that the test may change."""
    root = tmp_path / "pictures"
    shutil.copytree(library.root, root)
    return Library(root, library.kinds, library.copies, library.broken)


@pytest.fixture(scope="session")
def run(library, tmp_path_factory):
    """The library organized once, for tests that only read it."""
    return selfsort.organize(library.root, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def reviewed(library, tmp_path_factory):
    """A folder with the library, organized into four groups, once, for tests that copy it."""
    folder = tmp_path_factory.mktemp("review")
    shutil.copytree(library.root, folder / "pictures")
    selfsort.organize(folder / "pictures", folder / "run", settings=selfsort.Settings(groups=4))
    return folder


@pytest.fixture
def own_run(reviewed, tmp_path):
    """A copy of that run, which the test may change; its pictures stay where they are."""
    for name in ("run", "run.catalog"):
        place = reviewed / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, tmp_path / name)
    return tmp_path / "run"


@pytest.fixture
def app(own_run):
    """The server of the review page over it."""
    from answers import PORT, TOKEN

    return pytest.importorskip("selfsort.app.server").create_app(own_run, token=TOKEN, port=PORT)


@pytest.fixture
def page(app):
    """A client that was let in."""
    from fastapi.testclient import TestClient

    from answers import HOME, TOKEN

    with TestClient(app, base_url=HOME) as client:
        assert client.get(f"/?token={TOKEN}").status_code == 200
        client.headers["x-selfsort-token"] = TOKEN
        yield client


@pytest.fixture(scope="session")
def chrome(tmp_path_factory):
    with started_browser(tmp_path_factory.mktemp("profile")) as chrome:
        yield chrome


@pytest.fixture
def browser(chrome):
    """A new tab of the session's browser that knows nothing of the tests before."""
    before = chrome.window_handles
    chrome.switch_to.new_window("tab")
    mine = chrome.current_window_handle
    for tab in before:
        chrome.switch_to.window(tab)
        chrome.close()
    chrome.switch_to.window(mine)
    chrome.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chrome.set_window_size(1400, 900)
    for log in ("browser", "performance"):
        chrome.get_log(log)
    return chrome


@contextlib.contextmanager
def started_browser(profile):
    """Start a headless Chromium that has this empty folder for its profile; skip where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs Chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        f"disable-component-update disable-sync disable-dev-shm-usage window-size=1400,900 user-data-dir={profile}"
    ).split():
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield chrome
    finally:
        chrome.quit()
