"""Ctrl-C and the end of a process while pictures are decoded: at once, and nothing stays behind."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from conftest import draw
from hostile import png

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


def decoders(mark):
    """Return the processes of an environment that decode."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes() and b"selfsort.decoder" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def until(condition, seconds):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def busy(pids):
    """Tell whether one of the processes has worked for a while."""
    ticks = [sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) for pid in pids]
    return any(tick > 0.4 * os.sysconf("SC_CLK_TCK") for tick in ticks)


@pytest.fixture
def slow_pictures(tmp_path):
    """Each takes several seconds."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.png").write_bytes(png(16_000, 15_000 + i))
    draw("disks", 0).save(folder / "small.png")
    return folder


def started(code, tmp_path, *words):
    mark = f"SELFSORT_MARK={tmp_path}".encode()
    environment = os.environ | {"SELFSORT_MARK": str(tmp_path)}
    command = [sys.executable, *code, *map(str, words)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert until(lambda: (found := decoders(mark)) and busy(found), 60), process.communicate()
    return process, mark


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_a_run_ends_at_once(slow_pictures, tmp_path, signal_):
    process, mark = started(["-m", "selfsort.cli", "organize"], tmp_path, slow_pictures, "-o", tmp_path / "run")
    began = time.monotonic()
    process.send_signal(signal_)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 2
    assert until(lambda: not decoders(mark), 2)
    if signal_ == signal.SIGINT:
        assert process.returncode == 130
        assert errors.strip().splitlines()[-1].startswith("Interrupted. Nothing is lost")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "code",
    [
        "selfsort.load_dataset(sys.argv[1])",
        "from selfsort.photos.looks import look; look(open(sys.argv[1] + '/0.png', 'rb').read())",
    ],
    ids=["dataset", "main thread"],
)
def test_python_is_interrupted_at_once(slow_pictures, tmp_path, code):
    process, mark = started(["-c", f"import sys, selfsort; {code}"], tmp_path, slow_pictures)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 2
    assert errors.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert until(lambda: not decoders(mark), 2)


def test_the_page_ends_at_once(own_run, tmp_path):
    pytest.importorskip("uvicorn")
    mark = f"SELFSORT_MARK={tmp_path}".encode()
    environment = os.environ | {"SELFSORT_MARK": str(tmp_path)}
    command = [sys.executable, "-m", "selfsort.cli", "review", str(own_run), "--no-open"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    home, token = re.search(r"(http\S+)\?token=(\S+)", process.stdout.readline()).groups()

    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    browser.open(f"{home}?token={token}", timeout=20).read()
    headers = {"x-selfsort-token": token, "origin": home.rstrip("/"), "content-type": "application/octet-stream"}
    request = urllib.request.Request(f"{home}api/search/picture", png(16_000, 15_000), headers, method="POST")

    def search():
        with contextlib.suppress(OSError, http.client.HTTPException):  # it never gets an answer
            browser.open(request, timeout=60)

    threading.Thread(target=search, daemon=True).start()
    assert until(lambda: (found := decoders(mark)) and busy(found), 60), process.kill()
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 2.5
    assert "Traceback" not in errors
    assert until(lambda: not decoders(mark), 2)
