"""SCAN beyond the contract of all methods."""

import re
import warnings

import numpy as np
import pytest
from sklearn.datasets import make_blobs

import selfsort
from fits import FEATURES, blobs
from selfsort.errors import CollapseWarning, DataError

torch = pytest.importorskip("torch")

from selfsort.features.project import unit_rows, whitened  # noqa: E402
from selfsort.methods.base import Encoded  # noqa: E402
from selfsort.methods.saving import save_model  # noqa: E402
from selfsort.methods.scan import SCAN  # noqa: E402
from selfsort.methods.scan_stages import Consistency  # noqa: E402
from selfsort.methods.simclr import SimCLR  # noqa: E402
from selfsort.metrics import neighbor_purity, score_all  # noqa: E402
from selfsort.nets.heads import Heads  # noqa: E402

FAST = {"n_heads": 2, "n_epochs": 2, "label_epochs": 1, "batch_size": 128, "random_state": 0}
ENCODER = {"width": 4, "pretext_epochs": 1, **FAST}


@pytest.fixture(scope="module")
def groups():
    return make_blobs(600, 8, centers=4, cluster_std=1.0, random_state=1)


@pytest.fixture(scope="module")
def digits():
    return selfsort.load_dataset("digits").images[:300]


@pytest.fixture(scope="module")
def features(digits, tmp_path_factory):
    run = tmp_path_factory.mktemp("scan") / "simclr"
    selfsort.fit("simclr", digits, run, params=FEATURES)
    return run


def test_every_head_finds_the_groups_and_says_how_sure_it_is(groups):
    X, y = groups
    model = SCAN(4, **FAST).fit(X)
    assert all(score_all(y, head)["acc"] == 1 for head in model.predict_heads(X))
    assert model.best_head_ == model.head_loss_.argmin()
    assert [row["stage"] for row in model.history_] == ["start"] * 5 + ["scan"] * 2 + ["label"]
    assert list(y[model.prototypes_]) == [y[model.labels_ == cluster][0] for cluster in range(4)]
    assert (model.prototype_confidence_ > 0.7).all()
    scaled = (X - X.mean(0)) / (X - X.mean(0)).std()
    np.testing.assert_allclose(model.transform(X), scaled, atol=1e-5)  # features stay what they are


def test_k_is_that_of_the_graph_of_the_features(groups):
    assert SCAN(**FAST).fit(groups[0]).n_clusters_ == 4


def test_more_clusters_than_there_are_groups_divide_them():
    X, y = make_blobs(600, 16, centers=3, cluster_std=1.0, random_state=1)
    X[:, :8] += 12 * np.random.default_rng(0).integers(0, 2, (600, 1))  # each of the three in two
    model = SCAN(6, **FAST | {"n_epochs": 5}).fit(X)
    scores = score_all(y, model.labels_)
    assert scores["acc_many_to_one"] > 0.99
    assert scores["acc"] < 0.6


def test_neighbors_are_mined_without_the_sample_itself(groups):
    X, y = groups
    model = SCAN(4, n_neighbors=7, **FAST).fit(X)
    assert model.mined_neighbors_.shape == (600, 7)
    assert not (model.mined_neighbors_ == np.arange(600)[:, None]).any()
    assert neighbor_purity(y, model.mined_neighbors_, 5) == 1
    assert SCAN(2, **FAST).fit(X[:9]).mined_neighbors_.shape == (9, 8)


def test_clusters_are_as_large_as_the_groups_they_start_from_or_asked_to_be_equal():
    X, y = make_blobs([400, 150, 50], 16, centers=None, cluster_std=1.0, random_state=3)
    params = FAST | {"n_epochs": 10, "learning_rate": 1e-3, "label_epochs": 0}
    of_start, equal = (SCAN(3, prior=prior, **params).fit(X) for prior in ("start", "equal"))
    assert score_all(y, of_start.labels_)["ari"] == 1
    assert score_all(y, equal.labels_)["ari"] < 0.95
    assert equal.history_[-1]["usage"] > of_start.history_[-1]["usage"]


def test_without_entropy_heads_collapse_and_there_is_an_alarm_or_a_rescue():
    """What the published example did unnoticed: neighbors agree, and nothing asks for a second cluster."""
    X = np.random.default_rng(0).normal(size=(400, 4))  # no groups that would hold heads back
    params = FAST | {"init": "random", "n_epochs": 20, "label_epochs": 0, "learning_rate": 0.03}
    with pytest.warns(CollapseWarning, match=r"Heads? .* of 4 clusters . are used, .* Pass a larger entropy_weight"):
        model = SCAN(4, entropy_weight=0, **params).fit(X)
    assert len(set(model.labels_)) < 4
    with pytest.warns(CollapseWarning, match="goes back to where heads were healthy"):
        rescued = SCAN(4, entropy_weight=0, rescue=True, **params).fit(X)
    assert rescued.n_rescues_ >= 1
    assert len(set(rescued.labels_)) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert SCAN(4, **params).fit(X).history_[-1]["n_used"] == 4


def test_self_labels_are_redone_without_what_comes_before_them(groups, tmp_path):
    X, _ = groups
    first = SCAN(4, **FAST).fit(X, checkpoint=tmp_path)
    before = (tmp_path / "scan.pt").read_bytes()
    others = FAST | {"threshold": 0.5, "ema": 0.9, "sure_share": 0.3, "label_entropy_weight": 2.0}
    again = SCAN(4, **others).fit(X, checkpoint=tmp_path / "copy")
    (tmp_path / "label.pt").unlink()
    second = SCAN(4, **others).fit(X, checkpoint=tmp_path)
    assert (tmp_path / "scan.pt").read_bytes() == before
    assert np.array_equal(first.head_loss_, second.head_loss_)
    assert np.array_equal(second.predict_proba(X), again.predict_proba(X))
    assert not np.array_equal(first.predict_proba(X), second.predict_proba(X))


@pytest.mark.parametrize("neighbors_of", ["features", "projections"])
def test_goes_on_from_another_run(digits, features, neighbors_of, tmp_path):
    taken = selfsort.load_model(features)
    params = {"n_clusters": 10, "pretext": str(features), "neighbors_of": neighbors_of, "train_encoder": False}
    run = selfsort.fit("scan", digits, tmp_path / "run", params=params | {"n_epochs": 1, "label_epochs": 1})
    model = selfsort.load_model(tmp_path / "run")
    own = model.transform(digits)
    np.testing.assert_allclose(own / np.linalg.norm(own, axis=1, keepdims=True), taken.transform(digits), atol=1e-5)
    assert {row["stage"] for row in run.metrics} == {"start", "scan", "label"}
    mined_of = own if neighbors_of == "features" else taken._projector(torch.from_numpy(own)).detach().numpy()
    compared = whitened(mined_of, mined_of.shape[1], power=0.25)  # so that no few directions decide
    nearest = (compared @ compared.T - 2 * np.eye(len(digits))).argmax(1)
    assert (run.neighbors[:, 0] == nearest).mean() > 0.99
    alike = unit_rows(mined_of)
    assert (run.neighbors[:, 0] == (alike @ alike.T - 2 * np.eye(len(digits))).argmax(1)).mean() < 0.9
    assert run.run["params"]["pretext"] == str(features)
    trained = SCAN(10, pretext=features, **FAST).fit(digits)  # a path works too
    assert not np.allclose(trained.transform(digits), own)


def test_another_encoder_is_another_fit(digits, features, tmp_path):
    import shutil

    place = shutil.copytree(features, tmp_path / "simclr")
    params = {"n_clusters": 10, "pretext": str(place), "n_epochs": 1, "label_epochs": 0}
    first = selfsort.fit("scan", digits, tmp_path / "run", params=params).run["created"], (tmp_path / "run").stat()
    selfsort.fit("scan", digits, tmp_path / "run", params=params)
    assert (tmp_path / "run").stat().st_ino == first[1].st_ino  # unchanged
    selfsort.fit("simclr", digits, place, params=FEATURES, seed=1)
    selfsort.fit("scan", digits, tmp_path / "run", params=params)
    assert (tmp_path / "run").stat().st_ino != first[1].st_ino


def test_images_in_color_by_a_residual_network():
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16)).astype(np.uint8)
    model = SCAN(2, backbone="resnet18", **ENCODER | {"width": 2, "n_epochs": 1}).fit(images)
    assert model.transform(images).shape == (40, 16)
    assert model.history_[0]["stage"] == "pretext"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_neighbors": 600}, "got 600 samples and n_neighbors=600. Pass n_neighbors=599 or less"),
        ({"views": "strong"}, "views='strong' needs images"),
        ({"backbone": "resnet18"}, "backbone='resnet18' needs images"),
        ({"neighbors_of": "projections"}, "no projections"),
        ({"pretext": "/nothing/here"}, "holds no model"),
        ({"threshold": 1.0}, "threshold"),
        ({"sure_share": 1.1}, "sure_share"),
        ({"label_entropy_weight": -1.0}, "label_entropy_weight"),
        ({"prior": "graph"}, "prior"),
    ],
)
def test_wrong_parameters(groups, params, message):
    with pytest.raises(DataError, match=message):
        SCAN(4, **params).fit(groups[0])


def test_runs_that_are_no_pretext(features, tmp_path):
    with pytest.raises(DataError, match=r"is of samples of shape \(1, 8, 8\): got samples of \(5,\)"):
        SCAN(3, pretext=features).fit(blobs())
    selfsort.fit("kmeans", blobs(), tmp_path / "kmeans", params={"n_clusters": 3})
    with pytest.raises(DataError, match="holds a KMeans, not an encoder"):
        SCAN(3, pretext=tmp_path / "kmeans").fit(blobs())
    few = {"n_clusters": 3, "width": 2, "n_codes": 4, "units": 8, "n_epochs": 1}
    selfsort.fit("mine", blobs(), tmp_path / "mine", params=few)
    with pytest.raises(DataError, match="has more than one part"):
        SCAN(3, pretext=tmp_path / "mine").fit(blobs())


def test_a_pretext_of_other_samples_is_refused_and_one_of_pictures_brings_its_axes(digits, features, tmp_path):
    with pytest.raises(DataError, match="another range"):
        SCAN(10, pretext=features, **FAST).fit(digits.astype(np.float32) / digits.max())
    rng = np.random.default_rng(0)
    pictures = [Encoded(rng.random((n, 40), np.float32), [str(i) for i in range(n)]) for n in (60, 50)]
    model = SimCLR(2, width=2, n_epochs=1, random_state=0).fit(pictures[0])
    (tmp_path / "run").mkdir()
    save_model(model, tmp_path / "run")
    scan = SCAN(2, pretext=tmp_path / "run", train_encoder=False, **FAST).fit(pictures[1])
    own = scan.transform(pictures[1])
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    np.testing.assert_allclose(own, model.transform(pictures[1]), atol=1e-5)
    with pytest.raises(DataError, match="was fitted on pictures, this is an array"):
        SCAN(2, pretext=tmp_path / "run", **FAST).fit(rng.random((50, 39)))


def test_one_image(digits):
    assert SCAN(1, **ENCODER).fit(digits[:1]).labels_.tolist() == [0]


def test_the_callers_random_state_stays(digits, features, groups, tmp_path):
    before = torch.get_rng_state()
    SCAN(10, pretext=features, **FAST).fit(digits)
    selfsort.fit("scan", groups[0], tmp_path / "run", params={"n_clusters": 4, "n_epochs": 1, "label_epochs": 0})
    selfsort.load_model(tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before)


def test_k_means_may_start_with_as_many_as_the_graph_finds(groups):
    X, _ = groups
    by_means, by_graph = (SCAN(init=init, **FAST).fit(X) for init in ("kmeans", "graph"))
    assert by_means.n_clusters_ == by_graph.n_clusters_ == 4
    assert not np.array_equal(by_means.predict_proba(X), by_graph.predict_proba(X))


def test_a_collapse_in_the_last_pass_is_undone_too():
    scaling, heads = torch.nn.Identity(), Heads(3, 2, 4)
    objective = Consistency(scaling, torch.nn.Identity(), heads, True, 1.0, None, True)
    healthy = heads.linear.weight.detach().clone()
    objective.look(0)
    with torch.no_grad():
        heads.linear.weight.mul_(0)
    objective.guard.n_bad[1] = 2
    objective.look(3)
    assert torch.equal(heads.linear.weight, healthy)
    assert (objective.n_rescues, objective.entropy_weight) == (1, 2)
    assert not objective.guard.alarm()


@pytest.mark.parametrize("seed", range(3))
def test_the_published_rule_gives_up_clusters_of_which_little_is_sure_and_ours_does_not(seed):
    X, _ = make_blobs(600, 16, centers=6, cluster_std=16.0, random_state=seed)  # no gaps, as in images
    params = {"n_heads": 2, "n_epochs": 4, "batch_size": 128, "random_state": seed, "learning_rate": 0.01}
    with pytest.warns(UserWarning, match="Self-labeling ended"):
        published = SCAN(6, prior="equal", label_epochs=10, sure_share=0.0, label_entropy_weight=0.0, **params).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = SCAN(6, prior="equal", label_epochs=10, **params).fit(X)
    of_labels = [[row for row in model.history_ if row["stage"] == "label"] for model in (published, ours)]
    assert len(of_labels[0]) < len(of_labels[1]) == 10
    assert of_labels[0][0]["sure"] < 0.1 < 0.5 <= of_labels[1][0]["sure"]
    assert of_labels[1][-1]["usage"] > 0.99


def test_self_labeling_keeps_the_sizes_that_clusters_are_asked_to_have():
    X, y = make_blobs([400, 150, 50], 16, centers=None, cluster_std=1.0, random_state=3)
    params = FAST | {"n_epochs": 10, "label_epochs": 10, "learning_rate": 1e-3}
    assert score_all(y, SCAN(3, prior="start", **params).fit(X).labels_)["ari"] == 1


def test_self_labeling_ends_before_a_cluster_is_given_up(groups):
    X, _ = groups
    small = {"n_epochs": 1, "start_steps": 0, "init": "random", "label_epochs": 20, "batch_size": 32}
    params = FAST | small | {"learning_rate": 0.1}
    n_ended = 0
    for seed in range(5):  # which ones end is a matter of rounding
        model = SCAN(10, threshold=0.3, **params | {"random_state": seed})  # too many clusters: the surest take all
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model.fit(X)
        ended = any(re.search("Self-labeling ended after .* gave up clusters", str(each.message)) for each in said)
        labels = [row for row in model.history_ if row["stage"] == "label"]
        before = next(row["usage"] for row in reversed(model.history_) if row["stage"] == "scan")
        kept = [row["n_used"] == 10 and row["usage"] >= 0.98 * before for row in labels]
        assert kept == ([True] * (len(labels) - 1) + [False] if ended else [True] * 20)
        if ended:
            averaged = SCAN(10, threshold=0.3, ema=0.5, **params | {"random_state": seed})
            with pytest.warns(UserWarning, match="Self-labeling ended"):
                assert np.isfinite(averaged.fit(X).predict_proba(X)).all()
        n_ended += ended
    assert n_ended >= 2
