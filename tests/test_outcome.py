import numpy as np
import pytest

from exports import KEYS, catalogued, correct, folder_of_run, hide, load  # noqa: F401
from selfsort.errors import DataError
from selfsort.photos.corrected import Corrected
from selfsort.photos.outcome import outcome


def now(folder, level=None):
    with Corrected(folder, read_only=True) as corrected:
        return outcome(corrected.clusters, corrected, level)


def test_without_corrections_it_is_the_run(folder):
    found = now(folder)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, -1, -1] == load(folder).labels.tolist()
    assert found.keys == dict(enumerate(KEYS))
    assert (found.names, found.name(1), found.groups) == ({}, "group-001", [0, 1])
    assert outcome(load(folder)).labels.tolist() == found.labels.tolist()


def test_corrections_change_groups_and_numbers_stay_those_of_the_run(folder):
    correct(
        folder,
        ("rename", [1], [], "Snow"),
        ("move", [1], ["a/one.jpg"], None),
        ("split", [], ["b/one.jpg"], None),
        ("lock", [], ["no suffix"], None),
    )
    hide(folder, "nowhere.jpg")
    found = now(folder)
    assert found.labels.tolist() == [1, 0, 2, 1, 1, -1, -1]
    assert found.keys == {0: KEYS[0], 1: KEYS[1], 2: -4}
    assert found.names == {1: "Snow"}
    assert np.flatnonzero(found.placed).tolist() == [0, 2, 4]
    assert np.flatnonzero(found.locked).tolist() == [4]
    assert np.flatnonzero(found.hidden).tolist() == [6]
    assert found.n_corrections == 5
    coarse = now(folder, 0)
    assert coarse.labels.tolist() == [0, 0, 0, 0, 0, -1, -1]
    assert (coarse.names, np.flatnonzero(coarse.hidden).tolist()) == ({0: "Photos"}, [6])


def test_merged_groups(folder):
    correct(folder, ("merge", [1, 0], [], None))
    found = now(folder)
    assert found.labels.tolist() == [1, 1, 1, 1, 1, -1, -1]
    assert found.merged == {1: [0]}


def test_a_name_that_was_taken_away_does_not_come_back_from_the_run(tmp_path):
    folder = catalogued(tmp_path, names=["Old", "Given"])
    correct(folder, ("rename", [0], [], "New"), ("rename", [1], [], "Given"), ("rename", [0], [], ""))
    assert now(folder).names == {1: "Given"}


def test_the_digest_tells_what_is_handed_out(folder):
    seen = [now(folder).digest(), now(folder, 0).digest()]
    for change in [("rename", [0], [], "x"), ("move", [0], ["no suffix"], None), ("lock", [], ["b/one.jpg"], None)]:
        correct(folder, change)
        seen.append(now(folder).digest())
    hide(folder, "a/one.jpg")
    seen.append(now(folder).digest())
    assert len(set(seen)) == len(seen)
    assert now(folder).digest() == seen[-1]


def test_levels_that_are_not_there(folder):
    with pytest.raises(DataError, match="levels 0 to 1: got level 2"):
        now(folder, 2)
