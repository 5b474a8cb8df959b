import numpy as np
import pytest
from scipy import sparse

from selfsort.photos import teaching
from selfsort.photos.state import NOWHERE, Entry, apply
from selfsort.photos.teaching import hand_on, moved, teach


def entries(*bodies):
    return [Entry(number, "", body["do"], body) for number, body in enumerate(bodies, 1)]


def blobs(*sizes, seed=0):
    """A graph of tight groups in a row, each linked a little to the next; and their numbers."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    near = np.abs(truth[:, None] - truth)
    dense = np.where(near == 0, rng.uniform(0.5, 1, near.shape), np.where(near == 1, 0.01, 0.0))
    dense = np.triu(dense, 1)
    return sparse.csr_matrix((dense + dense.T).astype(np.float32)), truth


def looks(truth, seed=0):
    """Vectors near one another in a group, of about length 1."""
    noise = np.random.default_rng(seed).normal(scale=0.1, size=(len(truth), 8))
    return (np.eye(8)[truth] + noise).astype(np.float32)


def names(n):
    return [f"p{i}" for i in range(n)]


def result(graph, found, log, vectors=None):
    """Teach by the graph alone, unless there are vectors."""
    vectors = np.zeros((len(found), 1), np.float32) if vectors is None else vectors
    taught = teach(graph, vectors, found, names(len(found)), log)
    state = apply(dict(zip(names(len(found)), taught.tolist(), strict=True)), log)
    return np.array([state.groups[name] for name in names(len(found))]), taught


def test_groups_keep_the_keys_of_those_they_inherit():
    before = {f"p{i}": key for i, key in enumerate([7] * 6 + [9] * 4 + [NOWHERE] * 2)}
    labels = np.array([1] * 6 + [0] * 3 + [2, 2, -1, 3])
    keys = hand_on(labels, names(13), before, 100)
    assert keys.tolist() == [7] * 6 + [9] * 3 + [100, 100, NOWHERE, 101]


def test_of_a_group_that_falls_apart_the_larger_part_inherits():
    before = {f"p{i}": 5 for i in range(10)}
    assert set(hand_on(np.array([0] * 4 + [1] * 6), names(10), before, 50)[[0, 9]]) == {50, 5}


def test_of_groups_that_grow_together_the_larger_is_inherited():
    before = {f"p{i}": 5 if i < 3 else 6 for i in range(10)}
    assert set(hand_on(np.zeros(12, int), names(12), before, 50)) == {6}


def test_a_name_does_not_go_to_a_group_that_shares_little():
    before = {f"p{i}": 5 for i in range(40)}
    labels = np.repeat([0, 1, 2, 3], 15)  # of the first three none has more than half of the old one
    keys = hand_on(labels, names(60), before, 50)
    assert 5 in keys[:40]  # but one is made of nothing else
    assert keys[59] >= 50


def test_without_corrections_nothing_moves():
    graph, truth = blobs(5, 5)
    for log in ([], entries({"do": "rename", "group": 0, "name": "x"})):
        assert teach(graph, np.zeros((10, 1)), truth, names(10), log) is truth


def test_a_few_moves_bring_the_rest_of_a_part():
    graph, truth = blobs(12, 12, 12)
    found = np.where(truth == 1, 0, truth)  # two parts were taken for one
    log = entries(*({"do": "move", "pictures": [f"p{i}"], "group": 2} for i in (12, 15, 18, 20)))
    now, taught = result(graph, found, log, looks(truth))
    assert (now == np.where(truth == 0, 0, 2)).all()
    assert (taught[[12, 15, 18, 20]] == 0).all()  # so that they go back when the moves are undone
    assert apply(dict(zip(names(36), taught.tolist(), strict=True)), []).groups["p12"] == 0


def test_looks_tell_apart_what_neighbors_do_not():
    graph, mixed = blobs(24, 12)
    truth = np.where(mixed == 0, np.arange(36) % 2, 1)  # every other one of the first group looks like the second
    log = entries({"do": "move", "pictures": ["p1", "p7", "p13", "p19"], "group": 1})
    now, _ = result(graph, mixed, log, looks(truth))
    assert (now == truth).mean() > 0.9
    now, _ = result(graph, mixed, log)
    assert (now == truth).mean() < 0.9  # by their neighbors alone all stay or all go


def test_only_what_changed_is_told_again(monkeypatch):
    graph, truth = blobs(12, 12, 12, 12)
    found = truth.copy()
    found[[0, 1, 2, 3, 4, 5]], found[12] = 1, 2  # half of the first is in the second
    log = entries(*({"do": "move", "pictures": [f"p{i}"], "group": 0} for i in (0, 1, 12)))
    asked, tell = [], teaching._tell

    def noting(told, linked, said, rows, keys):
        asked.append(keys.tolist())
        tell(told, linked, said, rows, keys)

    def all_of_them(told, linked, said, rows, keys):
        tell(told, linked, said, rows, np.arange(said.shape[1]))

    monkeypatch.setattr(teaching, "_tell", noting)
    now, taught = result(graph, found, log, looks(truth))
    assert len(asked) == 3
    assert asked[0] == [0, 1, 2, 3]
    assert all(len(keys) < 4 for keys in asked[1:])
    assert now[:12].tolist() == [0] * 12
    monkeypatch.setattr(teaching, "_tell", all_of_them)
    np.testing.assert_array_equal(result(graph, found, log, looks(truth))[1], taught)


def test_pictures_that_moved_say_so(monkeypatch):
    chain = np.eye(14, k=1, dtype=np.float32)
    graph, found = sparse.csr_matrix(chain + chain.T), np.array([8] + [9] * 13)
    log = entries(*({"do": "move", "pictures": [f"p{i}"], "group": 8} for i in (1, 2)))
    followed = []
    for rounds in (1, 2, 3):
        monkeypatch.setattr(teaching, "_ROUNDS", rounds)
        now, _ = result(graph, found, log)
        followed.append((now == 8).sum())
        assert now[: followed[-1]].tolist() == [8] * followed[-1]
    assert 3 < followed[0] < followed[1] < followed[2] < 14


def test_groups_that_nobody_took_from_stay_as_they_are(monkeypatch):
    graph, truth = blobs(12, 12, 12, 12)
    wrong = truth.copy()
    wrong[24:30] = 3  # half of the third group: its own neighbors say that it is wrong
    log = entries({"do": "move", "pictures": ["p0", "p1"], "group": 1})
    now, _ = result(graph, wrong, log, looks(truth))
    assert (now[12:] == wrong[12:]).all()
    monkeypatch.setattr(teaching, "_AT_ONCE", 1)  # heard of one group at a time, it is the same
    assert (result(graph, wrong, log, looks(truth))[0] == now).all()
    now, _ = result(graph, wrong, [*log, *entries({"do": "not-this", "pictures": ["p24"], "group": 3})], looks(truth))
    assert (now[24:30] == 2).all()


def test_looks_are_those_of_a_ridge_regression_on_the_others():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 40)
    vectors = looks(truth)
    said = rng.uniform(0.2, 5, 40)[:, None] * np.eye(3)[truth]
    said[:4] = 0  # these belong nowhere
    found = teaching.Looks(vectors, sparse.csr_matrix(said.astype(np.float32)))(np.arange(40))
    weight = said.sum(1)
    usual = said.sum(0) / weight.sum()
    for row in range(40):
        w = np.where(np.arange(40) == row, 0, weight)
        mean, of_groups = w @ vectors / w.sum(), np.where(w[:, None] > 0, said, 0).sum(0) / w.sum()
        centered = vectors - mean
        gram = (centered * w[:, None]).T @ centered + teaching._RIDGE * np.eye(8)
        slopes = np.linalg.solve(gram, centered.T @ np.where(w[:, None] > 0, said, 0))
        np.testing.assert_allclose(found[row], centered[row] @ slopes + of_groups - usual, atol=1e-4)
    assert found[np.arange(40), truth].min() > 0


def test_a_picture_that_was_put_back_teaches_nothing():
    graph, truth = blobs(12, 12, 12)
    back = [{"do": "not-this", "pictures": ["p30"], "group": 2}, {"do": "move", "pictures": ["p30"], "group": 2}]
    assert (result(graph, truth, entries(*back))[0] == truth).all()
    now, _ = result(graph, truth, entries(*back, {"do": "move", "pictures": ["p0"], "group": 1}))
    assert (now[12:] == truth[12:]).all()


@pytest.mark.parametrize(
    "said",
    [
        {"do": "not-this", "pictures": ["p40"], "group": 0},  # it is in another already
        {"do": "cannot-link", "pictures": ["p24", "p0"]},  # they are apart already
    ],
)
def test_what_is_so_already_moves_nothing(said):
    graph, truth = blobs(12, 12, 12, 12)
    wrong = truth.copy()
    wrong[24:30] = 3
    assert (result(graph, wrong, entries(said), looks(truth))[0] == wrong).all()


def test_pictures_of_no_group_that_do_not_belong_together_stay_in_none():
    graph, truth = blobs(8, 8)
    truth = np.where(np.arange(16) < 2, NOWHERE, truth)
    now, _ = result(graph, truth, entries({"do": "cannot-link", "pictures": ["p0", "p1"]}))
    assert (now == truth).all()


def test_a_split_part_is_followed_by_pictures_like_it():
    graph, truth = blobs(12, 12)
    log = entries({"do": "split", "pictures": [f"p{i}" for i in (12, 14, 16)]})
    now, _ = result(graph, np.zeros(24, int), log)
    assert len(set(now[truth == 1])) == 1
    assert not set(now[truth == 1]) & set(now[truth == 0])


@pytest.mark.parametrize("n", [2, 5, 7])
def test_a_single_picture_does_not_take_a_small_group_with_it(n):
    graph, truth = blobs(n, 30)
    now, _ = result(graph, truth, entries({"do": "split", "pictures": ["p0"]}))
    assert now[0] < NOWHERE
    assert set(now[1:n]) == {0}
    now, _ = result(graph, truth, entries({"do": "move", "pictures": ["p0"], "group": 1}))
    assert set(now[1:n]) == {0}


@pytest.mark.parametrize("n_split", [3, 5])
def test_a_division_of_a_tight_group_does_not_undo_itself(n_split):
    graph, truth = blobs(9, 30)
    split = [f"p{i}" for i in range(n_split)]
    now, _ = result(graph, truth, entries({"do": "split", "pictures": split}), looks(truth))
    assert (now[:n_split] < NOWHERE).all()
    assert set(now[n_split:9]) == {0}  # each looks like those that left, but then nothing would have been divided
    now, _ = result(graph, truth, entries({"do": "move", "pictures": split, "group": 1}), looks(truth))
    assert set(now[n_split:9]) == {1}  # to a group that was there before, all may follow


def test_locked_pictures_stay_whatever_is_around_them():
    graph, truth = blobs(12, 12)
    log = entries(
        {"do": "lock", "pictures": ["p0"], "group": 1},
        {"do": "move", "pictures": ["p1", "p2", "p3"], "group": 0},
    )
    now, _ = result(graph, truth, log)
    assert now[0] == 1


def test_a_rejected_picture_goes_elsewhere():
    graph, truth = blobs(12, 12)
    now, _ = result(graph, truth, entries({"do": "not-this", "pictures": ["p11"], "group": 0}))
    assert now[11] == 1
    assert (now[:11] == 0).all()


def test_links_hold_in_the_next_run():
    graph, truth = blobs(8, 8, 8)
    log = entries({"do": "must-link", "pictures": ["p0", "p20"]}, {"do": "cannot-link", "pictures": ["p1", "p2"]})
    now, _ = result(graph, truth, log)
    assert now[0] == now[20]
    assert now[1] != now[2]


def test_merged_groups_stay_one_and_can_come_apart():
    graph, truth = blobs(8, 8, 8)
    log = entries({"do": "merge", "groups": [1], "into": 0}, {"do": "move", "pictures": ["p23"], "group": 1})
    now, taught = result(graph, truth, log)
    assert (now[:16] == 0).all()
    assert now[23] == 0
    assert (taught[:16] == truth[:16]).all()  # the merge is not burnt in


def test_pictures_that_belong_nowhere_are_left_there():
    graph, truth = blobs(8, 8)
    truth = truth.copy()
    truth[3] = NOWHERE
    now, _ = result(graph, truth, entries({"do": "move", "pictures": ["p0"], "group": 1}))
    assert now[3] == NOWHERE


def test_one_picture():
    graph = sparse.csr_matrix((1, 1), dtype=np.float32)
    now, _ = result(graph, np.array([0]), entries({"do": "split", "pictures": ["p0"]}))
    assert now[0] < NOWHERE
    assert result(graph, np.array([NOWHERE]), entries({"do": "not-this", "pictures": ["p0"], "group": 3}))[0] == NOWHERE


def test_what_moved_is_counted():
    before = apply({"a": 1, "b": 1, "c": 2}, [])
    after = apply({"a": 1, "b": 3, "d": 3}, [])
    assert moved(before, after) == {"moved": 1, "new_groups": 1, "gone_groups": 1}
