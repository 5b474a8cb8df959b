"""IIC beyond the contract of all methods."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_blobs

torch = pytest.importorskip("torch")

from selfsort.errors import DataError  # noqa: E402
from selfsort.methods.iic import IIC, _Information  # noqa: E402
from selfsort.methods.trained import Scaling  # noqa: E402
from selfsort.metrics import score_all  # noqa: E402
from selfsort.nets.heads import Heads  # noqa: E402

FAST = {"width": 4, "n_heads": 2, "start_steps": 100, "learning_rate": 0.01, "batch_size": 120, "random_state": 0}


@pytest.fixture(scope="module")
def six():
    return make_blobs(360, 8, centers=6, cluster_std=1.0, random_state=1)


def wrong_start(monkeypatch, y):
    """Let heads first learn clusters of which one joins two true ones, and two share one."""
    wrong = y.copy()
    wrong[y == 1] = 0
    wrong[np.flatnonzero(y == 2)[::2]] = 1
    monkeypatch.setattr(IIC, "_start", lambda *_: wrong.astype(np.int64))


def test_a_wrong_merge_and_a_wrong_split_are_undone(six, monkeypatch):
    X, y = six
    wrong_start(monkeypatch, y)
    model = IIC(6, n_epochs=8, **FAST).fit(X)
    assert model.n_regroupings_ > 0
    for labels in model.predict_heads(X):
        assert score_all(y, labels)["acc"] > 0.98


def test_without_regrouping_they_stay(six, monkeypatch):
    X, y = six
    wrong_start(monkeypatch, y)
    model = IIC(6, n_epochs=8, regroup=False, **FAST).fit(X)
    assert model.n_regroupings_ == 0
    assert score_all(y, model.labels_)["acc"] < 0.9


def test_a_head_learns_its_lesson_and_is_reminded_of_it_later():
    torch.manual_seed(0)
    objective = _Information(Scaling(), torch.nn.Identity(), Heads(4, 2, 3), None, 30)
    x, rows = torch.randn(30, 4), torch.arange(30)
    lesson = torch.arange(30) % 3
    error = torch.nn.functional.cross_entropy(objective.heads(x).flatten(0, 1), lesson.repeat(2), reduction="none")
    error = error.view(2, 30).mean(1)

    def losses():
        """Return the losses of both heads, and their information."""
        terms = objective(x, x, rows)
        return terms["loss"].item(), torch.stack([terms["head_1"], terms["head_2"]])

    loss, information = losses()
    assert loss == pytest.approx(-information.mean().item())  # no lesson yet: information alone
    objective.teach(lesson, torch.tensor([True, False]), 0.5)
    assert losses()[0] == pytest.approx(((error[0] - information[1]) / 2).item())
    objective.taught.fill_(False)
    assert losses()[0] == pytest.approx(((0.5 * error[0] - information.sum()) / 2).item())


def test_without_a_start_there_is_nothing_to_be_reminded_of(six):
    runs = [
        IIC(6, init="random", regroup=False, start_weight=weight, n_epochs=1, **FAST).fit(six[0]) for weight in (0, 5)
    ]
    np.testing.assert_array_equal(*(run.predict_proba(six[0]) for run in runs))


def test_the_head_of_the_most_information_speaks(six):
    X, _ = six
    model = IIC(6, n_epochs=2, **FAST).fit(X)
    assert model.best_head_ == model.head_information_.argmax()
    np.testing.assert_array_equal(model.predict_heads(X)[model.best_head_], model.labels_)
    assert (model.head_information_ <= np.log(6) + 1e-6).all()
    last = model.history_[-1]
    assert [last["head_1"], last["head_2"]] == model.head_information_.tolist()


@pytest.mark.parametrize("init", ["graph", "kmeans", "random"])
def test_k_is_found_when_not_given(six, init):
    model = IIC(init=init, n_epochs=1, **FAST).fit(six[0])
    assert model.n_clusters_ == 6


def test_images_in_color_and_gray():
    rng = np.random.default_rng(0)
    for channels, side in ((1, 8), (1, 16), (3, 16)):
        X = rng.integers(0, 256, (60, channels, side, side)).astype(np.uint8)
        model = IIC(3, n_epochs=1, **FAST).fit(X)
        assert model.predict_proba(X).shape == (60, 3)
        assert model.transform(X).shape == (60, len(model.get_feature_names_out()))


def test_the_joint_distribution_is_that_of_the_best_head(six):
    model = IIC(6, n_epochs=2, **FAST).fit(six[0])
    assert model.joint_.sum() == pytest.approx(1)
    np.testing.assert_array_equal(model.joint_, model.joint_.T)
    shares = np.bincount(model.labels_, minlength=6) / 360
    np.testing.assert_allclose(model.joint_.sum(1), shares, atol=0.02)


def test_small_batches_are_warned_of(six):
    with pytest.warns(UserWarning, match=r"Batches of 20 pairs say little about 6 clusters.*batch_size=60"):
        IIC(6, n_epochs=1, **FAST | {"batch_size": 20}).fit(six[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IIC(6, n_epochs=1, **FAST).fit(six[0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"backbone": "vgg-f"}, "backbone='vgg-f' needs images"),
        ({"views": "simclr"}, "views='simclr' needs images"),
        ({"n_fine": 3}, "n_fine=3 is less than the number of clusters, 6"),
        ({"init": "other"}, "init"),
    ],
)
def test_wrong_parameters(six, params, message):
    with pytest.raises(DataError, match=message):
        IIC(6, **params).fit(six[0])
