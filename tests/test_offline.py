"""The main job needs neither a network nor torch, and sends nothing anywhere."""

import os
import subprocess
import sys

import pytest

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


def test_the_main_job_makes_no_system_call_to_connect(library, tmp_path):
    """Below Python: native libraries could open sockets of their own."""
    import shutil

    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    log = tmp_path / "calls"
    done = subprocess.run(
        [
            "strace",
            "-f",
            "-e",
            "trace=connect",
            "-o",
            str(log),
            sys.executable,
            "-c",
            JOB,
            str(library.root),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr[-500:]
    assert "AF_INET" not in log.read_text()


def test_importing_selfsort_loads_nothing_heavy():
    code = (
        "import sys, selfsort; dir(selfsort)\n"
        "heavy = {'torch', 'onnxruntime', 'faiss', 'sklearn', 'pyarrow', 'matplotlib', 'PIL', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
