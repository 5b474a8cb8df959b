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

SETTINGS = ["n_clusters=10", "network=dense", "hidden=64", "n_codes=8", "n_epochs=12", "batch_size=64"]
SETTINGS += ["max_steps=200", "update_interval=20", "tol=0"]
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


def fit(run):
    return start("fit", "dec", "digits", "-o", run, *(part for setting in SETTINGS for part in ("--set", setting)))


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
def whole(tmp_path_factory):
    """A fit that was left alone, and the seconds from the first work to the end."""
    folder = tmp_path_factory.mktemp("whole")
    process = fit(folder / "run")
    begun = wait_for(folder / ".run.partial" / "job.json", process)
    finish(process)
    return folder / "run", time.monotonic() - begun


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return time.monotonic()


def assert_killed_fits_are_resumed(whole, tmp_path, n_kills, seed):
    rng = np.random.default_rng(seed)
    expected, seconds = whole
    run = tmp_path / "run"
    process = fit(run)
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
        process = start("resume", run) if job.exists() else fit(run)
    finish(process)
    assert_same(run, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    return stages


def test_a_killed_fit_is_resumed(whole, tmp_path):
    assert_killed_fits_are_resumed(whole, tmp_path, 3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_fits_killed_at_many_moments_are_resumed(whole, tmp_path, seed):
    assert_killed_fits_are_resumed(whole, tmp_path, 8, seed)


@pytest.mark.parametrize("moment", ["before training", "in training"])
def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(whole, tmp_path, moment):
    run = tmp_path / "run"
    process = fit(run)
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
    assert_same(run, whole[0])
