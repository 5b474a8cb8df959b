"""The main job needs neither a network nor torch, and sends nothing anywhere."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import offline

JOB = """
import sys
from pathlib import Path
import selfsort
from selfsort.photos.organize import organize

pictures, work = sys.argv[1], Path(sys.argv[2])
clusters = organize(pictures, work / "run", labels="folders")
assert (work / "run" / "report.html").stat().st_size > 10_000
assert selfsort.evaluate(selfsort.Clusters.load(work / "run"), "folders").scores["ami"] > 0.5
assert len(selfsort.export(clusters, work / "out", mode="copy").done) > 50
selfsort.undo(work / "out")
"""

NO_NETWORK = """
import socket

def refuse(*args, **kwargs):
    raise AssertionError("the main job asked for the network")

class Socket(socket.socket):
    __init__ = refuse

for name in ("create_connection", "getaddrinfo", "gethostbyname", "create_server", "socketpair"):
    setattr(socket, name, refuse)
socket.socket = Socket
"""

NO_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "torchvision"):
            raise AssertionError(f"the main job imported {name}")

sys.meta_path.insert(0, Refuse())
"""


def run(library, tmp_path, *parts):
    environment = os.environ | {"SELFSORT_CACHE": str(tmp_path / "cache")}
    environment.pop("HTTP_PROXY", None)
    return subprocess.run(
        [sys.executable, "-c", "".join(parts), str(library.root), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_main_job_runs_without_network_and_without_torch(library, tmp_path):
    done = run(library, tmp_path, NO_NETWORK, NO_TORCH, JOB)
    assert done.returncode == 0, done.stderr[-800:]
    assert done.stdout == ""  # the library prints nothing


@pytest.mark.parametrize(
    ("guard", "breach"),
    [
        (NO_NETWORK, "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')"),
        (NO_NETWORK, "import socket; socket.socket()"),
        (NO_TORCH, "import torch"),
    ],
)
def test_the_guards_notice(library, tmp_path, guard, breach):
    done = run(library, tmp_path, guard, breach)
    assert done.returncode == 1
    assert "the main job" in done.stderr


EVERYTHING = """
import importlib.util, json, os, signal, subprocess, sys, urllib.request
from pathlib import Path
from selfsort.cli import main

pictures, work = Path(sys.argv[1]), Path(sys.argv[2])

def call(*words):
    try:
        main([str(word) for word in words], standalone_mode=False)
    except SystemExit as ended:
        assert not ended.code, words

run = work / "run"
call("organize", pictures, "-o", run, "--labels", "folders", "--json")
call("evaluate", run, "--labels", "folders")
small = work / "small"
call("organize", pictures / "pages", "-o", small, "--json")
if importlib.util.find_spec("rapidocr"):
    call("text", small)
if importlib.util.find_spec("mtcnn"):
    call("people", small)
call("fit", "kmeans", pictures, "-o", work / "kmeans", "--set", "n_clusters=4", "--json")
call("predict", work / "kmeans", pictures / "noise", "--json")
call("predict", run, pictures / "noise", "--json")
if importlib.util.find_spec("torch"):
    settings = ("network=dense", "hidden=16", "n_codes=4", "n_epochs=1", "graph_steps=5", "n_clusters=4")
    settings = [word for setting in settings for word in ("--set", setting)]
    call("fit", "ae-kmeans", pictures, "--pixels", 8, "-o", work / "ae", "--json", *settings)
call("export", run, work / "out", "--mode", "copy", "--json")
call("undo", work / "out", "--json")
if importlib.util.find_spec("uvicorn"):
    command = [sys.executable, "-m", "selfsort.cli", "review", str(run), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        home = next(word for word in server.stdout.readline().split() if word.startswith("http"))
        opened = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert b"<html" in opened.open(home).read()
        assert opened.open(home.split("?")[0] + "api/groups").status == 200
        server.send_signal(signal.SIGINT)
"""


@pytest.fixture
def home(tmp_path):
    """An environment with a home of its own, which stays empty, and folders that may be written to."""
    for name in ("home", "cache", "temp", "work"):
        (tmp_path / name).mkdir()
    kept = {"PATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LANG", "OMP_NUM_THREADS"}
    return {name: value for name, value in os.environ.items() if name in kept} | {
        "HOME": str(tmp_path / "home"),
        "SELFSORT_CACHE": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path / "temp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ORT_DISABLE_TELEMETRY": "0",  # what users have set does not matter
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1:4318",
    }


def may_watch():
    if not offline.can_trace() and not offline.without_network():
        pytest.skip("neither strace nor unshare may be used here, so nobody can see what is sent")


def test_nothing_is_sent_and_nothing_is_written_elsewhere(library, tmp_path, home):
    """Below Python: native libraries open sockets and files of their own."""
    may_watch()
    log = tmp_path / "calls"
    done = offline.watched(EVERYTHING, library.root, tmp_path / "work", log=log, env=home)
    assert done.returncode == 0, done.stderr[-2000:]
    assert list((tmp_path / "home").rglob("*")) == []
    if offline.can_trace():
        found = offline.breaches(log, *(tmp_path / name for name in ("cache", "temp", "work")))
        assert found == [], found[:10]


BREACHES = [
    ("import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))", "192.0.2.1"),
    ("import socket; socket.getaddrinfo('example.invalid', 80)", "connect"),
    ("import os; open(os.path.expanduser('~/telemetry'), 'w')", "telemetry"),
    ("import os; os.mkdir(os.path.expanduser('~/.cache'))", ".cache"),
    ("import onnxruntime", "onnxruntime.db"),
]


@pytest.mark.parametrize(("code", "named"), BREACHES)
def test_the_watch_sees_what_is_sent_and_written(tmp_path, home, code, named):
    if not offline.can_trace():
        pytest.skip("strace may not be used here")
    if "getaddrinfo" in code and "nameserver 127." in Path("/etc/resolv.conf").read_text():
        pytest.skip("names are asked for on this machine")
    if "onnxruntime" in code and version("onnxruntime") < "1.31":
        pytest.skip("this onnxruntime writes nothing of itself")
    home["ORT_DISABLE_TELEMETRY"] = ""
    offline.watched(code, log=tmp_path / "calls", env=home)
    found = offline.breaches(tmp_path / "calls", tmp_path / "work", tmp_path / "temp")
    assert any(named in call for call in found), found


def test_importing_selfsort_loads_nothing_heavy():
    code = (
        "import sys, selfsort; dir(selfsort)\n"
        "heavy = {'torch', 'onnxruntime', 'faiss', 'sklearn', 'pyarrow', 'matplotlib', 'PIL', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
