"""Which pictures stand for a group on the wall."""

import numpy as np

from selfsort.app.covers import covers


def test_covers_are_the_surest_that_are_not_alike():
    n = 12
    labels = np.array([0] * 8 + [1] * 3 + [-1])
    neighbors = 100 + 10 * np.arange(n)[:, None] + np.arange(2)  # nobody is near to anybody,
    neighbors[1] = [0, 100]  # but 1 to 0, as in a burst,
    neighbors[2] = neighbors[3]  # and 2 to what 3 is near to
    ids = [*"abcdefgghijk"]  # 6 and 7 are one content
    rank = -np.arange(n, dtype=float)
    shown = np.ones(n, bool)
    assert covers(labels, shown, rank, ids, neighbors) == [[0, 2, 4, 5], [8, 9, 10]]
    shown[[4, 5, 10]] = False
    assert covers(labels, shown, rank, ids, neighbors) == [[0, 2, 6, 1], [8, 9]]  # rather alike than none
    assert covers(labels, shown, rank[::-1], ids, neighbors)[0] == [7, 3, 1, 2]
    assert covers(np.full(3, -1), np.ones(3, bool), rank[:3], ids[:3], neighbors[:3]) == []
