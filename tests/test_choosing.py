"""Scores that need no label."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, silhouette_score

from selfsort.choosing import SCORES, choose_k, consensus, label_free_scores, neighbor_graph, vote
from selfsort.errors import DataError


@pytest.fixture(scope="module")
def groups():
    X, y = make_blobs(400, 12, centers=5, cluster_std=1.0, random_state=0)
    return X.astype(np.float32), y


def test_what_is_there_scores_higher_than_what_is_not(groups):
    X, y = groups
    rng = np.random.default_rng(0)
    truth = label_free_scores(X, y)
    joined, divided = np.minimum(y, 3), np.where(y == 0, 5 + rng.integers(0, 2, len(y)), y)
    for other in (joined, divided, rng.integers(0, 5, len(y)), np.where(rng.random(len(y)) < 0.2, (y + 1) % 5, y)):
        worse = label_free_scores(X, other)
        assert worse["modularity"] < truth["modularity"]
        assert worse["silhouette"] < truth["silhouette"]
        assert worse["learnable"] < truth["learnable"] or truth["learnable"] == pytest.approx(1)
        assert worse["stable"] < truth["stable"] or truth["stable"] == pytest.approx(1)
    assert set(truth) == set(SCORES)
    assert truth["learnable"] == pytest.approx(1)


def test_chance_scores_nothing(groups):
    X, y = groups
    scores = label_free_scores(X, np.random.default_rng(1).integers(0, 5, len(y)))
    assert all(abs(scores[name]) < 0.1 for name in ("learnable", "modularity", "stable"))


def test_modularity_is_newmans(groups):
    X, y = groups
    graph = neighbor_graph(X)
    dense, labels = graph.toarray(), y % 3
    degree, total = dense.sum(1), dense.sum()
    wanted = ((dense - np.outer(degree, degree) / total) * (labels[:, None] == labels)).sum() / total
    assert label_free_scores(X, labels, graph=graph)["modularity"] == pytest.approx(wanted)


def test_names_of_clusters_and_unclustered_samples_do_not_matter(groups):
    X, y = groups
    graph = neighbor_graph(X)
    first = label_free_scores(X, y, graph=graph)
    assert label_free_scores(X, 7 * (4 - y), graph=graph)["modularity"] == pytest.approx(first["modularity"])
    without = np.where(np.arange(len(y)) < 40, -1, y)
    rest = slice(40, None)
    left = label_free_scores(X, without, graph=graph)
    assert left == pytest.approx(label_free_scores(X[rest], y[rest], graph=graph[rest][:, rest]))


def test_a_consensus_prefers_what_others_find_too(groups):
    _, y = groups
    rng = np.random.default_rng(0)
    noisy = [np.where(rng.random(len(y)) < share, rng.integers(0, 5, len(y)), y) for share in (0.1, 0.2, 0.3)]
    finer = y * 2 + rng.integers(0, 2, len(y))
    scores = consensus([*noisy, finer, y, rng.integers(0, 5, len(y))])
    assert int(np.argmax(scores)) == 4
    assert (np.diff(scores[:3]) < 0).all()
    assert abs(scores[5]) < 0.02


def test_a_consensus_leaves_out_what_is_in_no_cluster(groups):
    _, y = groups
    part = np.where(np.arange(len(y)) < 100, -1, y)
    np.testing.assert_allclose(consensus([y, part, y[::1] + 7]), 1)
    assert consensus([part, np.where(part >= 0, -1, y), np.full(len(y), -1)]).tolist() == [0, 0, 0]
    for wrong in ([y, y], [y, y, y[1:]], [y[:, None]] * 3):
        with pytest.raises(DataError, match="three or more clusterings of the same samples"):
            consensus(wrong)


def test_a_vote_is_better_than_its_voters(groups):
    _, y = groups
    rng = np.random.default_rng(1)
    noisy = [np.where(rng.random(len(y)) < 0.4, rng.integers(0, 5, len(y)), rng.permutation(5)[y]) for _ in range(9)]
    found = vote(noisy)
    assert adjusted_rand_score(y, found) > 0.9 > 0.6 > max(adjusted_rand_score(y, each) for each in noisy)
    assert set(found) == set(range(5))


def test_a_vote_counts_clusterings_of_other_numbers_and_leaves_out_who_says_nothing(groups):
    _, y = groups
    finer, coarser = y * 2 + np.arange(len(y)) % 2, np.minimum(y, 3)
    part = np.where(np.arange(len(y)) < 100, -1, y + 3)
    assert adjusted_rand_score(y, vote([y, part, finer, coarser, y])) == 1
    nobody = [np.where(np.arange(len(y)) < 7, -1, each) for each in (y, y, coarser)]
    assert ((vote(nobody) >= 0) == (np.arange(len(y)) >= 7)).all()
    assert (vote([np.full(9, -1)] * 3) == -1).all()
    with pytest.raises(DataError, match="three or more"):
        vote([y, y])


def test_what_says_nothing_agrees_with_nothing():
    good = np.repeat([0, 1], 4)
    near = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    alone, together = np.arange(8), np.zeros(8, int)
    scores = consensus([together, together, alone, alone, good, near])
    assert scores[:4].tolist() == [0, 0, 0, 0]
    assert min(scores[4:]) > 0
    assert len(set(vote([together, together, good, near]))) == 2


def test_a_vote_of_three_is_fair():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 300)
    sizes = []
    for _ in range(5):
        noisy = [np.where(rng.random(len(y)) < 0.35, rng.integers(0, 10, len(y)), y) for _ in range(3)]
        sizes.append(np.bincount(vote(noisy), minlength=10) / len(y))
    assert np.abs(np.mean(sizes, 0) - 0.1).max() < 0.02


def test_a_cluster_that_only_some_see():
    assert vote([[0, 0, 1, 1, -1, -1], [0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]]).tolist() == [0, 0, 1, 1, 2, 2]
    assert vote([[0, 0, 1, 1, -1, -1]] * 2 + [[5, 5, 7, 7, -1, 9]]).tolist() == [0, 0, 1, 1, -1, 2]


def test_the_silhouette_is_near_the_usual_one(groups):
    X, y = groups
    assert label_free_scores(X, y)["silhouette"] == pytest.approx(silhouette_score(X, y), abs=0.1)


@pytest.mark.parametrize("labels", [np.zeros(30, np.int64), np.full(30, -1), np.arange(30)])
def test_one_cluster_none_and_one_per_sample(labels):
    X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    scores = label_free_scores(X, labels)
    assert all(np.isfinite(value) and value <= 1 for value in scores.values())
    if len(set(labels)) == 1:
        assert not any(scores.values())


def test_a_graph_without_links():
    X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    scores = label_free_scores(X, np.arange(30) % 3, graph=sparse.csr_matrix((30, 30)))
    assert scores["modularity"] == scores["stable"] == 0


def test_lengths_that_differ(groups):
    with pytest.raises(DataError, match="got 400 vectors and 3 labels"):
        label_free_scores(groups[0], np.zeros(3, np.int64))


def test_as_many_are_recommended_as_there_are(groups):
    X, y = groups
    found = choose_k(X)
    assert found.k == found.best == len(set(y))
    assert found.interval == (5, 5)
    assert found.reason == ""
    assert found.ks.tolist() == [*range(2, 21), 21, 22, 23, 24, 26, 28, 30]
    at = found.ks.tolist().index(5)
    assert found.stability.argmax() == found.modularity.argmax() == at
    assert found.stability[at] > 0.99
    assert (found.low <= found.stability).all()
    assert (found.stability <= found.high).all()
    again = choose_k(X)
    assert np.array_equal(again.stability, found.stability)


def test_noise_and_an_even_surface_have_no_clear_answer():
    rng = np.random.default_rng(0)
    noise = choose_k(rng.normal(size=(600, 20)))
    assert noise.k is None
    assert "agree at no number" in noise.reason
    surface = choose_k(np.column_stack([rng.uniform(-1, 1, (1500, 2)), np.ones(1500)]))
    assert surface.k is None
    assert "hardly less so" in surface.reason or "Try larger ones" in surface.reason


def test_classes_in_pairs_have_an_answer_at_the_level_that_is_looked_at():
    rng = np.random.default_rng(0)
    places = np.repeat(np.eye(6) * 10, 2, axis=0) + np.tile([[0.0] * 6, [3.0] * 6], (6, 1))
    X = np.repeat(places, 60, axis=0) + rng.normal(size=(720, 6)) * 0.5
    assert choose_k(X, range(2, 25)).k == 12


@pytest.mark.parametrize(
    ("n", "ks", "options", "message"),
    [
        (10, None, {}, "20 samples or more"),
        (100, [3], {}, "from 2 to 20: got 1 from 3 to 3"),
        (100, [1, 2, 3], {}, "got 3 from 1 to 3"),
        (100, [2, 30], {}, "got 2 from 2 to 30"),
        (100, [2.5, 4], {}, "whole numbers"),
        (100, None, {"n_resamples": 2}, "n_resamples=2"),
        (100, None, {"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_numbers_that_cannot_be_tried(n, ks, options, message):
    with pytest.raises(DataError, match=message):
        choose_k(np.random.default_rng(0).normal(size=(n, 4)), ks, **options)


def test_vectors_that_are_not_finite():
    with pytest.raises(DataError, match="50 of 50 rows hold NaN or infinity, or more than float32 can, such as row 0"):
        choose_k(np.full((50, 3), np.nan))
    with pytest.raises(DataError, match=r"largest is 1e\+30, in sample 7"):
        choose_k(np.where(np.arange(50)[:, None] == 7, 1e30, np.ones((50, 3))))
    with pytest.raises(DataError, match="shape \\(50,\\)"):
        choose_k(np.arange(50.0))


def test_scores_of_what_are_no_vectors():
    labels = np.arange(30) % 3
    with pytest.raises(DataError, match="30 of 30 rows hold NaN or infinity"):
        label_free_scores(np.full((30, 4), np.nan, np.float32), labels)
    with pytest.raises(DataError, match=r"got one of shape \(30, 1, 8, 8\)"):
        label_free_scores(np.zeros((30, 1, 8, 8), np.float32), labels)


def test_the_largest_number_tried(groups):
    X, _ = groups
    assert choose_k(X, range(2, 6)).k == 5  # nothing can be more stable
    below = choose_k(X, [2, 3, 4])
    assert below.k is None
    assert below.reason


def test_the_same_sample_again_and_again():
    with pytest.raises(DataError, match="All 25 samples are the same"):
        choose_k(np.ones((25, 3)))


def test_few_samples_and_copies():
    rng = np.random.default_rng(0)
    assert choose_k(np.repeat(np.eye(2), 12, axis=0) + rng.normal(size=(24, 2)) * 0.05).ks.tolist() == [2, 3, 4]
    assert choose_k(np.repeat(np.eye(3), 20, axis=0)).k == 3
