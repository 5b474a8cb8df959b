"""The guard against a collapse, and that every method with heads has it."""

import math
import warnings

import numpy as np
import pytest

from selfsort.errors import CollapseWarning

torch = pytest.importorskip("torch")

from fits import METHODS as PARAMS  # noqa: E402
from selfsort.methods.saving import method_class  # noqa: E402
from selfsort.training.guard import PATIENCE, Guard  # noqa: E402


def logits(*clusters, k=4, scale=50.0):
    return scale * torch.eye(k)[list(clusters)]


def test_what_an_epoch_used():
    guard = Guard(2, 4, "Do something.")
    for _ in range(10):
        guard(torch.stack([logits(0, 0, 1, 2), logits(3, 3, 3, 3)]))
        guard(torch.stack([logits(0, 0, 1, 2), logits(3, 3, 3, 0)]))
    row = guard.close(1)
    shares = np.array([7, 1]) / 8
    assert row["usage"] == pytest.approx(-(shares * np.log(shares)).sum() / math.log(4), rel=1e-4)  # of the worst head
    assert row["largest_share"] == pytest.approx(7 / 8)
    assert row["n_used"] == 2
    assert row["confidence"] == pytest.approx(1)
    assert guard.n_bad.tolist() == [1, 1]  # the first used three of four
    unsure = Guard(1, 4, "")
    unsure(torch.zeros(1, 60, 4))
    assert unsure.close(1)["usage"] == pytest.approx(1)  # the mean is even, though all that is sure is one cluster
    assert unsure.close(2)["confidence"] == 0  # sums start anew


def test_a_few_samples_tell_nothing_and_are_carried_on():
    guard = Guard(1, 4, "")
    for epoch, cluster in enumerate([0, 1, 2, 3], 1):
        guard(logits(*[cluster] * 10)[None])
        row = guard.close(epoch)
        assert guard.n_bad.item() == 0
    assert row["n_used"] == 4  # of all four passes together
    assert row["largest_share"] == pytest.approx(1 / 4)


def test_it_warns_once_after_some_epochs_and_names_the_heads():
    guard = Guard(3, 4, "Do something.")
    told = []
    for epoch in range(1, PATIENCE + 3):
        guard(torch.stack([logits(*[0, 1, 2, 3] * 10), logits(*[1] * 40), logits(*[2] * 40)]))
        guard.close(epoch)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            guard.warn("scan", epoch)
        told.append([str(warning.message) for warning in caught])
        assert guard.alarm() == (epoch >= PATIENCE)
    assert [len(messages) for messages in told] == [0] * (PATIENCE - 1) + [1, 0, 0]
    assert told[PATIENCE - 1][0].startswith(
        "Heads 2, 3 of 3 collapsed in passes 1 to 2 of 'scan': of 4 clusters 1 are used, and the largest holds 100%"
    )
    guard(torch.stack([logits(*[0, 1, 2, 3] * 10)] * 3))
    guard.close(9)
    assert not guard.alarm()
    with pytest.warns(CollapseWarning, match=r"Heads 2, 3 of 3 collapsed in passes 1 to 2 of 'scan'"):
        guard.warn("scan")  # what a fit that is resumed says again
    guard.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guard.warn("scan")


def test_one_cluster_is_no_collapse():
    guard = Guard(1, 1, "")
    for epoch in range(PATIENCE):
        guard(torch.zeros(1, 50, 1))
        guard.close(epoch + 1)
    assert not guard.alarm()


@pytest.mark.parametrize("method", ["ae-kmeans", "dec", "idec", "iic", "scan", "temi", "turtle"])
def test_every_method_with_clusters_in_its_training_is_watched(method):
    X = np.repeat(np.eye(3, 6) * 10, 100, axis=0) + np.random.default_rng(0).normal(size=(300, 6))
    model = method_class(method)(**PARAMS[method] | {"n_clusters": 3}, random_state=0).fit(X)
    rows = [row for row in model.history_ if row["stage"] not in ("autoencode", "pretext", "start")]
    assert rows
    assert all({"usage", "largest_share", "n_used", "confidence"} <= row.keys() for row in rows)
    assert rows[-1]["n_used"] == 3


def test_a_collapse_in_training_is_in_the_run(tmp_path):
    import selfsort

    X = np.random.default_rng(0).normal(size=(400, 4))
    params = {"n_clusters": 4, "entropy_weight": 0, "start_steps": 0, "learning_rate": 0.03, "label_epochs": 0}
    with pytest.warns(CollapseWarning):
        run = selfsort.fit("scan", X, tmp_path / "run", params=params | {"init": "random"})
    assert any("of 'scan': of 4 clusters 2 are used" in text for text in run.run["warnings"])


def test_a_fit_that_goes_on_warns_of_what_was_before(tmp_path):
    X = np.random.default_rng(0).normal(size=(400, 4))
    params = {"entropy_weight": 0, "learning_rate": 0.03, "label_epochs": 0, "init": "random", "random_state": 0}
    for _ in range(2):  # the second time, all is read
        with pytest.warns(CollapseWarning, match="of 'scan': of 4 clusters"):
            method_class("scan")(4, **params).fit(X, checkpoint=tmp_path)
