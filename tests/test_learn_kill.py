"""A fit that is killed at any moment is resumed, and gives the labels and weights of one that was left alone."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from selfsort import Clusters

pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

SETTINGS = {
    "dec": "n_clusters=10 network=dense hidden=64 n_codes=8 n_epochs=12 batch_size=64 max_steps=200 "
    "update_interval=20 tol=0",
    "scan": "n_clusters=10 width=4 pretext_epochs=2 start_steps=20 n_epochs=3 label_epochs=2 batch_size=128 n_heads=2",
}
# checkpoints every few steps, so that a kill meets one that is half written, and half-trained stages
OFTEN = """
from selfsort.methods.trained import TrainedClusterer
make = TrainedClusterer._session
def often(self, work, samples):
    session = make(self, work, samples)
    session.checkpoint_seconds = 0.03
    return session
TrainedClusterer._session = often
from selfsort.cli import main
main()
"""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", OFTEN, *map(str, arguments), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fit(method, run):
    settings = [part for setting in SETTINGS[method].split() for part in ("--set", setting)]
    return start("fit", method, "digits", "-o", run, *settings)


def finish(process):
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return json.loads(output)


def assert_same(run, whole):
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    for name in ("labels", "levels", "confidence", "neighbors", "map", "embedding", "probabilities"):
        assert np.array_equal(np.load(run / f"{name}.npy"), np.load(whole / f"{name}.npy")), name
    found, expected = Clusters.load(run), Clusters.load(whole)
    assert found.run["fingerprint"] == expected.run["fingerprint"]
    assert found.groups == expected.groups
    times = {"seconds"}
    assert [{k: v for k, v in row.items() if k not in times} for row in found.metrics] == [
        {k: v for k, v in row.items() if k not in times} for row in expected.metrics
    ]


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """For each method a fit that was left alone, and the seconds from the first work to the end."""
    known = {}

    def whole(method):
        if method not in known:
            folder = tmp_path_factory.mktemp("whole")
            process = fit(method, folder / "run")
            begun = wait_for(folder / ".run.partial" / "job.json", process)
            finish(process)
            known[method] = folder / "run", time.monotonic() - begun
        return known[method]

    return whole


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return time.monotonic()


def assert_killed_fits_are_resumed(method, wholes, tmp_path, n_kills, seed):
    """Kill a fit, and each resume of it, at random moments; every file of what becomes of it is the same."""
    rng = np.random.default_rng(seed)
    expected, seconds = wholes(method)
    run = tmp_path / "run"
    process = fit(method, run)
    stages = set()
    for _ in range(n_kills):
        job = tmp_path / ".run.partial" / "job.json"
        wait_for(job, process)  # before that there is nothing to resume
        try:
            process.communicate(timeout=rng.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        else:
            assert process.returncode == 0
        if run.exists():
            assert_same(run, expected)  # if there is a run at all, it is whole
        stages |= {path.name for path in tmp_path.glob(".run.partial/fit-*/*")}
        process = start("resume", run) if job.exists() else fit(method, run)
    finish(process)
    assert_same(run, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    return stages


@pytest.mark.parametrize("method", ["dec", pytest.param("scan", marks=pytest.mark.slow)])
def test_a_killed_fit_is_resumed(wholes, tmp_path, method):
    assert_killed_fits_are_resumed(method, wholes, tmp_path, 2, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("method", SETTINGS)
def test_fits_killed_at_many_moments_are_resumed(wholes, tmp_path, method, seed):
    """Twenty kills of each method and more: the first of a fit, the others of a resume."""
    assert_killed_fits_are_resumed(method, wholes, tmp_path, 5, seed)


@pytest.mark.slow
@pytest.mark.parametrize("method", SETTINGS)
def test_fits_killed_once_are_resumed(wholes, tmp_path, method):
    """Each of twenty fits is killed once and resumed once."""
    for seed in range(100, 120):
        (tmp_path / str(seed)).mkdir()
        assert_killed_fits_are_resumed(method, wholes, tmp_path / str(seed), 1, seed)


@pytest.mark.parametrize("moment", ["in training", pytest.param("before training", marks=pytest.mark.slow)])
def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(wholes, tmp_path, moment):
    run = tmp_path / "run"
    process = fit("dec", run)
    wait_for(tmp_path / ".run.partial" / "job.json", process)
    if moment == "in training":
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".run.partial/fit-*/*.pt")):
            assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"Nothing is lost: run selfsort resume {run} to continue." in errors
    assert "Traceback" not in errors
    assert not run.exists()
    assert bool(list(tmp_path.glob(".run.partial/fit-*/*.pt"))) == (moment == "in training")
    assert finish(start("resume", run))["resumed"]
    assert_same(run, wholes("dec")[0])
