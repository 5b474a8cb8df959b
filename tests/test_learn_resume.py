"""A fit that is stopped goes on; see test_learn_kill.py for real signals."""

# ruff: noqa: F811 (fixtures are imported)

import shutil

import numpy as np
import pytest

import selfsort
from conftest import snapshot
from fits import ARRAYS, SHORT, digits  # noqa: F401
from selfsort import Clusters, DataError
from selfsort.publish import workplace_of

pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::selfsort.errors.CollapseWarning")  # few steps on few pictures


class Stop(Exception):  # noqa: N818
    """Stands for kill -9: nothing is tidied up."""


def stop_at(stage, error=KeyboardInterrupt):
    def progress(name, done, total):
        if name == stage:
            raise error

    return progress


def fit_few(library, run, **options):
    """Fit a few pictures, which takes a moment."""
    return selfsort.fit("dec", library.root, run, params=SHORT | {"n_clusters": 5}, pixels=8, **options)


@pytest.fixture(scope="module")
def few(library, tmp_path_factory):
    """A fit that nothing stopped."""
    return fit_few(library, tmp_path_factory.mktemp("fits") / "run")


def identical(a, b):
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
    for name in (*ARRAYS, "probabilities"):
        assert np.array_equal(np.load(a / f"{name}.npy"), np.load(b / f"{name}.npy"), equal_nan=True), name


@pytest.mark.parametrize("stage", ["autoencode", "graph", "cluster", "map", "report"])
def test_resume_after_an_interrupt_in_any_stage(library, few, tmp_path, stage):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit_few(library, run, progress=stop_at(stage))
    assert not run.exists()
    assert workplace_of(run).exists()
    resumed = selfsort.resume(run)
    identical(resumed.path, few.path)
    assert resumed.run["fingerprint"] == few.run["fingerprint"]
    assert list(tmp_path.iterdir()) == [run]
    before = snapshot(run)
    assert selfsort.resume(run).run == resumed.run  # complete already
    assert snapshot(run) == before


def test_resume_after_an_interrupt_before_there_was_anything_to_keep(library, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        selfsort.fit("kmeans", library.root, run, pixels=8, labels="folders", seed=5, progress=stop_at("decode"))
    clusters = selfsort.resume(run)
    assert clusters.run["seed"] == 5
    assert clusters.run["samples"]["shape"] == [3, 8, 8]
    assert "scores" in clusters.run
    assert list(tmp_path.iterdir()) == [run]


def test_an_error_keeps_checkpoints_and_nothing_else(library, few, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Stop):
        selfsort.fit("kmeans", library.root, run, progress=stop_at("map", Stop))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Stop):
        fit_few(library, run, progress=stop_at("map", Stop))
    assert workplace_of(run).exists()
    seen = set()
    resumed = fit_few(library, run, progress=lambda *call: seen.add(call[0]))
    assert "autoencode" not in seen  # it was kept
    identical(resumed.path, few.path)


def test_other_settings_do_not_meet_the_checkpoints_of_before(library, few, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        selfsort.fit("dec", library.root, run, params=SHORT | {"n_clusters": 4}, pixels=8, progress=stop_at("map"))
    clusters = fit_few(library, run)
    identical(clusters.path, few.path)
    assert list(tmp_path.iterdir()) == [run]


@pytest.mark.parametrize("other", [{"split": "valid"}, {"method": "kmeans"}, {"pixels": 9}, {"params": SHORT}])
def test_what_a_stopped_fit_has_learned_is_not_lost_to_another(library, few, tmp_path, monkeypatch, other):
    monkeypatch.setattr("selfsort.learn.fit._MUCH", 1e-6)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit_few(library, run, progress=stop_at("map"))
    before = snapshot(workplace_of(run))
    with pytest.raises(DataError, match=r"of dec, learned in .* is kept for run. Go on .* or give it up"):
        selfsort.fit(**{"method": "dec", "data": library.root, "output": run, "pixels": 8} | other)
    with pytest.raises(DataError, match=r"no_such\.csv"):
        fit_few(library, run, labels=tmp_path / "no_such.csv")
    assert snapshot(workplace_of(run)) == before
    identical(selfsort.resume(run).path, few.path)


def test_a_mistake_in_the_labels_leaves_what_can_be_resumed(library, few, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit_few(library, run, progress=stop_at("map"))
    (tmp_path / "labels.csv").write_text("path,label\nnone.png,a\n")
    with pytest.raises(DataError, match="label"):
        fit_few(library, run, labels=tmp_path / "labels.csv")
    identical(selfsort.resume(run).path, few.path)


def test_the_run_that_a_fit_goes_on_from_is_not_replaced(digits, tmp_path):
    params = {"width": 4, "n_epochs": 1, "n_clusters": 3}
    first = selfsort.fit("simclr", digits.images[:100], tmp_path / "run", params=params)
    before = snapshot(first.path)
    with pytest.raises(DataError, match="is the run that would be replaced"):
        selfsort.fit("scan", digits.images[:100], tmp_path / "run", params={"pretext": first.path, "n_clusters": 3})
    assert snapshot(first.path) == before


def test_a_truncated_checkpoint_is_named_and_nothing_is_lost(library, few, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit_few(library, run, progress=stop_at("map"))
    (checkpoint,) = workplace_of(run).glob("fit-*/cluster.pt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    before = snapshot(workplace_of(run))
    with pytest.raises(DataError, match=r"cluster.pt is damaged \(100 bytes\). Delete it to train this stage again"):
        selfsort.resume(run)
    after = snapshot(workplace_of(run))
    assert {name for name in before if name.endswith(".pt")} == {name for name in after if name.endswith(".pt")}
    checkpoint.unlink()
    identical(selfsort.resume(run).path, few.path)


def test_there_is_nothing_to_resume(tmp_path, digits):
    with pytest.raises(DataError, match="nothing to resume at"):
        selfsort.resume(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        selfsort.fit("dec", digits.images[:100], tmp_path / "run", params=SHORT, progress=stop_at("cluster"))
    with pytest.raises(DataError, match="was of an array, which is not kept"):
        selfsort.resume(tmp_path / "run")
    seen = set()
    selfsort.fit("dec", digits.images[:100], tmp_path / "run", params=SHORT, progress=lambda *call: seen.add(call[0]))
    assert "autoencode" not in seen


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 1}', '{"schema": 99}', '{"schema": "x"}'])
def test_a_job_that_cannot_be_read_is_named(tmp_path, content):
    work = workplace_of(tmp_path / "run")
    work.mkdir()
    (work / "job.json").write_text(content)
    with pytest.raises(DataError, match=r"job.json (cannot be read|was written by a newer)"):
        selfsort.resume(tmp_path / "run")


def test_a_run_between_two_renames_comes_back(few, tmp_path):
    """Killed when the earlier run was moved away and the new one not yet in its place."""
    run = tmp_path / "run"
    shutil.copytree(few.path, workplace_of(run) / "old")
    with pytest.raises(DataError):
        selfsort.fit("kmeans", "digits", run, params={"n_clusters": 5000})
    assert Clusters.load(run).run == Clusters.load(few.path).run
