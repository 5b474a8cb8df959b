import itertools
import math

import numpy as np
import pytest
from sklearn import metrics as sk

from selfsort import metrics
from selfsort.errors import DataError

CLASSES = np.array(["cat"] * 4 + ["dog"] * 3 + ["owl"] * 3)
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, -1])


def random_case(seed, n=60, n_classes=4, n_clusters=5):
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_classes, n), rng.integers(0, n_clusters, n)


def brute_force_accuracy(y_true, y_pred):
    """Try every way to pair classes with clusters."""
    table, _, _ = metrics.contingency(y_true, y_pred)
    if table.shape[0] > table.shape[1]:
        table = table.T
    pairings = itertools.permutations(range(table.shape[1]), table.shape[0])
    return max(sum(table[i, j] for i, j in enumerate(pairing)) for pairing in pairings) / table.sum()


def test_contingency_counts_and_names_what_occurs():
    table, classes, clusters = metrics.contingency(CLASSES, LABELS)
    assert classes.tolist() == ["cat", "dog", "owl"]
    assert clusters.tolist() == [-1, 0, 1, 2]
    assert table.tolist() == [[0, 3, 1, 0], [0, 0, 2, 1], [1, 0, 0, 2]]


def test_known_values():
    assert metrics.accuracy(CLASSES, LABELS) == pytest.approx(0.7)  # cat 3 + dog 2 + owl 2; "-1" finds no class left
    assert metrics.many_to_one_accuracy(CLASSES, LABELS) == pytest.approx(0.8)
    assert metrics.purity is metrics.many_to_one_accuracy


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 5), (5, 2), (4, 4), (3, 6)])
@pytest.mark.parametrize("seed", range(4))
def test_accuracy_equals_brute_force_on_square_and_rectangular_tables(shape, seed):
    case = random_case(seed, 40, *shape)
    assert metrics.accuracy(*case) == pytest.approx(brute_force_accuracy(*case))


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_scikit_learn(seed):
    y_true, y_pred = random_case(seed)
    scores = metrics.score_all(y_true, y_pred)
    assert scores["ami"] == pytest.approx(sk.adjusted_mutual_info_score(y_true, y_pred))
    assert scores["ari"] == pytest.approx(sk.adjusted_rand_score(y_true, y_pred))
    assert scores["nmi"] == pytest.approx(sk.normalized_mutual_info_score(y_true, y_pred))
    geometric = sk.normalized_mutual_info_score(y_true, y_pred, average_method="geometric")
    assert scores["nmi_geometric"] == pytest.approx(geometric)
    np.testing.assert_array_equal(metrics.contingency(y_true, y_pred)[0], sk.cluster.contingency_matrix(y_true, y_pred))
    table = sk.cluster.contingency_matrix(y_true, y_pred)
    assert scores["acc_many_to_one"] == pytest.approx(table.max(axis=0).sum() / len(y_true))


def test_names_of_clusters_and_order_of_items_do_not_matter():
    y_true, y_pred = random_case(1)
    rng = np.random.default_rng(0)
    order, names = rng.permutation(len(y_true)), rng.permutation(5)
    neighbors = rng.integers(0, len(y_true), (len(y_true), 5))
    position = np.argsort(order)
    confidence = rng.random(len(y_true))
    first = metrics.score_all(y_true, y_pred, confidence=confidence, neighbors=neighbors)
    second = metrics.score_all(
        y_true[order], names[y_pred][order], confidence=confidence[order], neighbors=position[neighbors][order]
    )
    assert first == pytest.approx(second)


def test_perfect_clustering_scores_one():
    scores = metrics.score_all(["a", "a", "b", "b"], [5, 5, 2, 2], confidence=[1, 1, 1, 1], n_clusters=3)
    for name in ("ami", "ari", "acc", "acc_many_to_one", "nmi", "nmi_geometric", "size_entropy_normalized"):
        assert scores[name] == pytest.approx(1.0), name
    assert scores["ece"] == 0
    assert scores["size_entropy"] == pytest.approx(math.log(2))
    assert (scores["n_classes"], scores["n_clusters"], scores["n_empty"], scores["largest_share"]) == (2, 2, 1, 0.5)


def test_random_labels_have_no_adjusted_score():
    rng = np.random.default_rng(0)
    scores = metrics.score_all(rng.integers(0, 10, 5000), rng.integers(0, 10, 5000))
    assert abs(scores["ami"]) < 0.01
    assert abs(scores["ari"]) < 0.01


def test_items_without_a_cluster_are_scored_as_one_cluster():
    scores = metrics.score_all(CLASSES, LABELS)
    assert scores["n_unassigned"] == 1
    assert scores["n_clusters"] == 3
    assert scores["ami"] == pytest.approx(sk.adjusted_mutual_info_score(CLASSES, LABELS))
    assert scores["size_entropy"] == pytest.approx(math.log(3))  # three clusters of three; -1 is not a cluster
    assert scores["largest_share"] == pytest.approx(0.3)
    nobody = metrics.score_all(["a", "b", "a"], [-1, -1, -1])
    assert (nobody["n_clusters"], nobody["n_unassigned"], nobody["largest_share"]) == (0, 3, 0.0)
    assert nobody["ami"] == 0


def test_a_collapse_shows_in_the_usage():
    usage = metrics.cluster_usage([0] * 99 + [1], n_clusters=10)
    assert usage["largest_share"] == 0.99
    assert usage["n_empty"] == 8
    assert usage["size_entropy_normalized"] < 0.1
    assert metrics.cluster_usage([3, 3])["size_entropy_normalized"] == 0.0
    assert math.copysign(1, metrics.cluster_usage([3, 3])["size_entropy"]) == 1  # no minus before a zero
    assert metrics.cluster_usage([0, 1], n_clusters=2)["n_empty"] == 0
    assert metrics.cluster_usage([4, -1])["size_entropy"] == 0


def test_neighbor_purity():
    labels = ["a", "a", "b", "b"]
    neighbors = [[1, 2], [0, 3], [3, -1], [-1, -1]]
    assert metrics.neighbor_purity(labels, neighbors, 1) == 1.0
    assert metrics.neighbor_purity(labels, neighbors, 2) == pytest.approx((0.5 + 0.5 + 1.0) / 3)
    assert math.isnan(metrics.neighbor_purity(labels, np.full((4, 1), -1), 1))
    scores = metrics.score_all(labels, [0, 0, 1, 1], neighbors=neighbors)
    assert "neighbor_purity_1" in scores
    assert "neighbor_purity_5" not in scores
    wide = np.column_stack([np.full(4, -1)] * 4 + [[1, 0, 3, 2]])
    assert metrics.score_all(labels, [0, 0, 1, 1], neighbors=wide)["neighbor_purity_5"] == 1.0  # just as many columns
    first = metrics.score_all(labels, [0, 0, 1, 1], neighbors=[[-1], [0], [0], [0]])  # row 0 is a neighbor too
    assert first["neighbor_purity_1"] == pytest.approx(1 / 3)
    assert not [k for k in metrics.score_all(labels, [0, 0, 1, 1], neighbors=np.full((4, 5), -1)) if "neighbor" in k]


def test_calibration_error_by_hand():
    # Cluster 0 is three "a" and one "b"; all said 0.75 sure and three of four are right: calibrated.
    truth, found = ["a", "a", "a", "b"], [0, 0, 0, 0]
    assert metrics.expected_calibration_error(truth, found, [0.75] * 4) == pytest.approx(0)
    assert metrics.expected_calibration_error(truth, found, [1.0] * 4) == pytest.approx(0.25)
    mixed = metrics.expected_calibration_error(truth, found, [1.0, 1.0, 0.5, 0.0])
    assert mixed == pytest.approx(0.25 * 0.5)


def test_calibration_bins_are_fifteen_of_one_width_and_the_last_holds_one():
    truth, found = ["a", "a", "a", "a", "b"], [0] * 5  # wrong: the last item alone

    def error(*confidence, **options):
        return metrics.expected_calibration_error(truth, found, confidence, **options)

    # 1.0 and 0.95 share the last bin, where the gaps of right and wrong items cancel.
    assert error(1.0, 1.0, 1.0, 0.95, 1.0) == pytest.approx((4.95 - 4) / 5)
    # 0.93 lies in the bin before: 14/15 = 0.9333 divides them. A right item is underrated, the wrong one overrated.
    assert error(1.0, 1.0, 1.0, 0.93, 1.0) == pytest.approx((0.07 + 1.0) / 5)
    assert error(1.0, 1.0, 1.0, 0.94, 1.0) == pytest.approx((1.0 - 0.06) / 5)
    # With one bin only the means count.
    assert error(0.0, 1.0, 1.0, 1.0, 1.0, n_bins=1) == pytest.approx(0)
    assert error(0.0, 1.0, 1.0, 1.0, 1.0) == pytest.approx((1 + 1) / 5)
    random = np.random.default_rng(0)
    sure, right = random.random(2000), random.integers(0, 2, 2000)
    y_true = np.where(right == 1, "a", "b").tolist() + ["a"] * 3000  # so that "a" is what the cluster is called
    edges = [((sure >= low / 15) & (sure < (low + 1) / 15)) for low in range(15)]
    by_hand = sum(abs((sure - right)[inside].sum()) for inside in edges) / 5000  # the sure and right ones add nothing
    assert metrics.expected_calibration_error(y_true, [0] * 5000, [*sure, *[1.0] * 3000]) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("labels", "k", "collapsed"),
    [
        ([0, 0, 1, 1, 2, 2], 3, False),
        ([0, 0, 1, 1], 3, True),  # one is empty
        ([0] * 8 + [1, 2], 3, False),  # 0.8 is allowed
        ([0] * 9 + [1, 2], 3, True),
        ([0] * 85 + [1] * 15, 2, True),
        ([0] * 75 + [1] * 20 + list(range(2, 7)), 7, True),  # an entropy of 0.41 ln 7
        ([0], 1, True),
    ],
)
def test_what_is_a_collapse(labels, k, collapsed):
    assert metrics.is_collapsed(metrics.cluster_usage(labels, k)) is collapsed


def test_confusion_rows_sum_to_one_and_matched_clusters_stand_on_the_diagonal():
    matrix, classes, clusters = metrics.confusion_matrix(CLASSES, LABELS)
    assert classes.tolist() == ["cat", "dog", "owl"]
    assert clusters.tolist() == [0, 1, 2, -1]
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    np.testing.assert_allclose(np.diag(matrix), [0.75, 2 / 3, 2 / 3])


def test_confusion_puts_left_over_clusters_beside_their_class():
    y_true = [0] * 6 + [1] * 4
    y_pred = [7, 7, 7, 3, 3, 9, 1, 1, 1, 8]
    matrix, _, clusters = metrics.confusion_matrix(y_true, y_pred)
    assert clusters.tolist() == [7, 3, 9, 1, 8]
    assert matrix.shape == (2, 5)
    many_classes, _, few = metrics.confusion_matrix([0, 1, 2, 2, 3], [4, 4, 5, 5, 4])
    assert many_classes.shape == (4, 2)
    assert few.tolist() == [4, 5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy([1, 2], [1]), "2 items of y_true: got 1"),
        (lambda: metrics.score_all([1, 2], [1, 1, 1]), "2 items of y_true: got 3"),
        (lambda: metrics.accuracy([], []), "at least one"),
        (lambda: metrics.accuracy([[1, 2]], [[1, 2]]), "one-dimensional"),
        (lambda: metrics.accuracy([1.0, float("nan")], [1, 1]), "NaN for 1 of 2"),
        (lambda: metrics.accuracy(np.array(["a", None], dtype=object), [1, 1]), "of one kind"),
        (lambda: metrics.score_all([1, 2], [0.5, 1.0]), "whole numbers"),
        (lambda: metrics.score_all([1, 2], [0, 1], n_clusters=1), "2 clusters, but n_clusters=1"),
        (lambda: metrics.score_all([1, 2], [0, 1], confidence=[0.5, 1.5]), "from 0.5 to 1.5"),
        (lambda: metrics.score_all([1, 2], [0, 1], confidence=[0.5, float("nan")]), "without NaN"),
        (lambda: metrics.score_all([1, 2], [0, 1], confidence=[0.5]), "got 1"),
        (lambda: metrics.neighbor_purity([1, 2], [[1], [2]], 1), "from 0 to 1"),
        (lambda: metrics.neighbor_purity([1, 2], [[1], [0]], 2), "k=2"),
        (lambda: metrics.neighbor_purity([1, 2, 3], [[1], [0]], 1), "shape"),
        (lambda: metrics.neighbor_purity([1, 2], [[-2], [0]], 1), "from -2 to 0"),
        (lambda: metrics.neighbor_purity([1, 2], [[1], [0]], 0), "k=0"),
        (lambda: metrics.neighbor_purity([], np.zeros((0, 1), int), 1), "^labels must be"),
        (lambda: metrics.contingency([], [1]), "^y_true must be"),
        (lambda: metrics.contingency([1], []), "^y_pred must be"),
        (lambda: metrics.cluster_usage([]), "^labels must be"),
        (lambda: metrics.expected_calibration_error([], [1], [1]), "^y_true must be"),
        (lambda: metrics.expected_calibration_error([1], [], [1]), "^y_pred must be"),
        (lambda: metrics.expected_calibration_error([1], [1], [[1]]), "got -1"),
        (lambda: metrics.score_all([], [1]), "^y_true must be"),
        (lambda: metrics.score_all([1], []), "^labels must be"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()
