"""A run that is killed at any moment is finished by the same command, and the result is that of a run left alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from selfsort import Clusters

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
COMMAND = [sys.executable, "-c", "from selfsort.cli import main; main()", "organize"]


def environment(cache):
    return os.environ | {"SELFSORT_CACHE": str(cache)}


def start(pictures, run, cache, *options):
    return subprocess.Popen(
        [*COMMAND, str(pictures), "-o", str(run), "--json", *options],
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(pictures, run, cache, *options):
    process = start(pictures, run, cache, *options)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return json.loads(output)


def leftovers(folder):
    return [str(p) for p in folder.rglob("*") if p.name.endswith((".tmp", ".partial", "lock")) or p.name == "old"]


def assert_killed_runs_are_finished(pictures, tmp_path, n_kills, *options, seed=0):
    """Kill one command again and again, at moments of all its stages, and let it finish after every third kill."""
    rng = np.random.default_rng(seed)
    begun = time.monotonic()
    finish(pictures, tmp_path / "whole", tmp_path / "cache of the whole", *options)
    seconds = time.monotonic() - begun
    expected = Clusters.load(tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    n_killed = 0
    while n_killed < n_kills:
        process = start(pictures, folder / "run", tmp_path / "cache", *options)
        try:
            process.communicate(timeout=rng.uniform(0.15, 1) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            n_killed += 1
            if (folder / "run").exists():  # if there is a run at all, it is whole
                assert np.array_equal(Clusters.load(folder / "run").labels, expected.labels)
            if n_killed % 3:
                continue
        else:
            assert process.returncode == 0
        finish(pictures, folder / "run", tmp_path / "cache", *options)
        found = Clusters.load(folder / "run")
        assert np.array_equal(np.load(folder / "run" / "labels.npy"), np.load(tmp_path / "whole" / "labels.npy"))
        for name in ("levels", "neighbors", "confidence", "map", "embedding"):
            assert np.array_equal(getattr(found, name), getattr(expected, name), equal_nan=True), name
        assert found.groups == expected.groups
        assert found.run["fingerprint"] == expected.run["fingerprint"]
        assert leftovers(folder) == []
        assert sorted(p.name for p in folder.iterdir()) == ["run", "run.catalog"]
        shutil.rmtree(folder / "run")
        if rng.random() < 0.5:
            shutil.rmtree(tmp_path / "cache")


def test_a_killed_run_is_finished_by_the_same_command(library, tmp_path):
    assert_killed_runs_are_finished(library.root, tmp_path, 3)


def test_a_run_killed_while_it_replaces_another_leaves_one_of_the_two(library, tmp_path, fresh_cache):
    finish(library.root, tmp_path / "run", fresh_cache)
    first = Clusters.load(tmp_path / "run").run["fingerprint"]
    process = start(library.root, tmp_path / "run", fresh_cache, "--granularity", "2")
    deadline = time.monotonic() + 60
    while not (tmp_path / ".run.partial" / "run").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
    process.kill()
    process.communicate()
    assert Clusters.load(tmp_path / "run").run["fingerprint"] == first
    finish(library.root, tmp_path / "run", fresh_cache, "--granularity", "2")
    assert Clusters.load(tmp_path / "run").run["fingerprint"] != first
    assert leftovers(tmp_path) == []


WAIT = """
import sys, time
import selfsort.photos.organize as module
whole = module.extract
def slow(source, encoder, cache, *, progress, **options):
    def report(stage, done, total):
        progress(stage, done, total)
        print("at work", flush=True)
        time.sleep(0.05)
    return whole(source, encoder, cache, progress=report, **options)
module.extract = slow
from selfsort.cli import main
main()
"""


def test_ctrl_c_says_how_to_go_on(library, tmp_path):
    """The real command, its progress slowed down so that the signal comes while it works."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT, "organize", str(library.root), "-o", str(tmp_path / "run")],
        env=environment(tmp_path / "cache"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()
    finish(library.root, tmp_path / "run", tmp_path / "cache")
    assert len(Clusters.load(tmp_path / "run").items) == len(library)
