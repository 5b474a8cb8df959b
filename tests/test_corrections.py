import random

import numpy as np
import pytest

from selfsort import DataError
from selfsort.photos.catalog import Catalog
from selfsort.photos.corrections import _FIELDS, Log
from selfsort.photos.state import NOWHERE, apply, own_key

GROUPS = {"a": 1, "b": 1, "c": 1, "d": 2, "e": 2, "f": 3, "g": NOWHERE}


@pytest.fixture
def log(tmp_path):
    with Catalog(tmp_path / "x.catalog") as catalog:
        yield Log(catalog)


def state(log, groups=GROUPS):
    return apply(groups, log.entries())


def test_without_corrections_the_groups_are_those_of_the_run(log):
    assert state(log).groups == GROUPS


def test_a_name_stays_with_its_group(log):
    log.add("rename", group=1, name=" my \n trip ")
    assert state(log).names == {1: "my trip"}
    log.add("rename", group=1, name="")
    assert state(log).names == {}


def test_move_and_split(log):
    log.add("move", pictures=["a", "g"], group=2)
    number = log.add("split", pictures=["d", "e"])
    now = state(log)
    assert now.groups == GROUPS | {"a": 2, "g": 2, "d": own_key(number), "e": own_key(number)}
    assert now.placed == {"a": 2, "g": 2, "d": own_key(number), "e": own_key(number)}
    log.add("move", pictures=["b"], group=own_key(number))
    assert state(log).groups["b"] == own_key(number)


def test_merge_takes_all_and_keeps_a_name(log):
    log.add("rename", group=2, name="trip")
    log.add("move", pictures=["f"], group=2)
    log.add("merge", groups=[2], into=1)
    now = state(log)
    assert set(now.groups.values()) == {1, NOWHERE}
    assert now.names == {1: "trip"}
    assert now.placed == {"f": 1}
    log.add("rename", group=2, name="later")  # a page that was not reloaded
    assert state(log).names == {1: "later"}
    assert now.members(1) == ["a", "b", "c", "d", "e", "f"]


def test_merges_in_chains_and_circles_end(log):
    log.add("merge", groups=[1], into=2)
    log.add("merge", groups=[2], into=3)
    log.add("merge", groups=[3, 1], into=2)  # all are one already
    assert set(state(log).groups.values()) == {3, NOWHERE}


def test_lock_and_unlock(log):
    log.add("lock", pictures=["a", "b"], group=1)
    assert state(log, GROUPS | {"a": 2}).groups["a"] == 1
    log.add("unlock", pictures=["a"])
    now = state(log, GROUPS | {"a": 2})
    assert (now.locked, now.placed) == ({"b"}, {"b": 1})


def test_hidden_pictures_stay_in_their_groups(log):
    log.add("hide", pictures=["a", "d"])
    log.add("show", pictures=["d"])
    assert state(log).hidden == {"a"}
    assert state(log).groups == GROUPS


def test_not_this(log):
    log.add("lock", pictures=["a"], group=1)
    log.add("not-this", pictures=["a", "d"], group=1)
    now = state(log)
    assert now.groups["a"] == NOWHERE
    assert now.groups["d"] == 2
    assert now.rejected == {"a": {1}, "d": {1}}
    assert now.placed == {}
    assert not now.locked
    log.add("move", pictures=["a"], group=1)  # and yet it is
    assert state(log).rejected["a"] == set()


def test_links(log):
    log.add("must-link", pictures=["d", "a", "f"])
    log.add("cannot-link", pictures=["b", "c"])
    now = state(log)
    assert now.groups == GROUPS | {"a": 2, "f": 2, "c": NOWHERE}
    assert now.together == [("d", "a", "f")]
    assert now.apart == [("b", "c")]
    log.add("not-the-same", pictures=["b", "c"])
    assert state(log).different == {frozenset("bc")}


def test_links_hold_whatever_comes_before_or_after(log):
    log.add("must-link", pictures=["g", "a"])  # the first belongs nowhere
    assert state(log).groups["g"] == 1
    log.add("move", pictures=["a"], group=3)  # and the other goes along
    assert state(log).groups == GROUPS | {"a": 3, "g": 3}
    log.add("must-link", pictures=["d", "g"])
    assert state(log).groups == GROUPS | {"a": 3, "g": 3, "d": 3}
    log.add("not-this", pictures=["g"], group=3)
    assert state(log).groups["g"] == NOWHERE
    log.add("lock", pictures=["b"], group=1)
    log.add("must-link", pictures=["c", "b"])
    log.add("move", pictures=["c"], group=2)
    now = state(log).groups
    assert (now["b"], now["c"]) == (1, 2)  # what is locked does not move


def test_of_two_that_are_apart_the_one_that_nobody_placed_leaves(log):
    log.add("move", pictures=["b"], group=1)
    log.add("cannot-link", pictures=["a", "b"])
    assert state(log).groups == GROUPS | {"a": NOWHERE}


def test_of_two_that_somebody_placed_the_earlier_one_leaves(log):
    log.add("move", pictures=["a"], group=3)
    log.add("move", pictures=["b"], group=3)
    log.add("cannot-link", pictures=["a", "b"])
    now = state(log)
    assert now.groups == GROUPS | {"a": NOWHERE, "b": 3}
    assert now.placed == {"b": 3}
    log.add("lock", pictures=["c"], group=3)
    log.add("cannot-link", pictures=["c", "b"])  # what is locked stays, though it is the first
    assert state(log).groups == GROUPS | {"a": NOWHERE, "b": NOWHERE, "c": 3}


def test_linked_pictures_leave_together(log):
    log.add("must-link", pictures=["b", "d"])  # of groups 1 and 2
    assert state(log).groups["d"] == 1
    log.add("cannot-link", pictures=["a", "b"])
    assert state(log).groups == GROUPS | {"b": 2}
    log.add("cannot-link", pictures=["e", "d"])  # and nobody of 2 wants them either
    now = state(log).groups
    assert now["b"] == now["d"] == NOWHERE


def test_of_links_that_say_the_opposite_the_newest_counts(log):
    log.add("must-link", pictures=["a", "b", "d"])
    log.add("cannot-link", pictures=["a", "b"])
    now = state(log)
    assert (now.together, now.apart) == ([("a", "d")], [("a", "b")])
    assert now.groups == GROUPS | {"d": 1, "b": NOWHERE}
    log.add("must-link", pictures=["b", "a"])
    now = state(log)
    assert now.apart == []
    assert now.groups == GROUPS | {"d": 1}


def test_not_the_same_tells_all_pairs_apart(log):
    log.add("not-the-same", pictures=["a", "b", "c"])
    assert state(log).different == {frozenset("ab"), frozenset("ac"), frozenset("bc")}


def test_undo_and_redo_step_by_step(log):
    numbers = [log.add("move", pictures=[picture], group=3) for picture in "abc"]
    assert [log.undo().number for _ in range(3)] == numbers[::-1]
    assert state(log).groups == GROUPS
    with pytest.raises(DataError, match="no correction to undo"):
        log.undo()
    assert [log.redo().number for _ in range(2)] == numbers[:2]
    assert state(log).groups == GROUPS | {"a": 3, "b": 3}
    log.add("hide", pictures=["a"])
    with pytest.raises(DataError, match="nothing to do again"):
        log.redo()
    assert log.redo(numbers[2]).number == numbers[2]  # but by its number it can be


def test_a_correction_in_the_middle_can_be_undone(log):
    split = log.add("split", pictures=["a", "b"])
    log.add("move", pictures=["c"], group=own_key(split))
    log.undo(split)
    assert state(log).groups == GROUPS | {"c": own_key(split)}
    with pytest.raises(DataError, match=f"Correction {split} is undone already"):
        log.undo(split)


def test_undo_reaches_over_a_restart(tmp_path):
    with Catalog(tmp_path / "x.catalog") as catalog:
        Log(catalog).add("move", pictures=["a"], group=2)
    with Catalog(tmp_path / "x.catalog") as catalog:
        assert Log(catalog).undo().do == "move"
    with Catalog(tmp_path / "x.catalog") as catalog:
        assert apply(GROUPS, Log(catalog).entries()).groups == GROUPS
        Log(catalog).redo()
    with Catalog(tmp_path / "x.catalog") as catalog:
        assert apply(GROUPS, Log(catalog).entries()).groups["a"] == 2


def any_correction(random_, log):
    pictures = random_.sample([*GROUPS, "not there"], random_.randint(2, 4))
    own = [own_key(e.number) for e in log.entries() if e.do == "split"]
    group, other = random_.choices([1, 2, 3, 99, *own], k=2)
    do = random_.choice(list(_FIELDS))
    if do == "rename":
        return log.add(do, group=group, name=random_.choice(["", "x", "y"]))
    if do == "merge":
        return log.add(do, groups=[group, other if other != group else group + 1], into=group)
    return log.add(do, pictures=pictures, **({"group": group} if do in ("move", "lock", "not-this") else {}))


@pytest.mark.parametrize("seed", range(25))
def test_any_corrections_and_their_undoing_lead_back(log, seed):
    """Corrections, undos and redos at random; after each the state is that of the corrections that are left."""
    random_ = random.Random(seed)
    states, redoable = [state(log)], []
    for _ in range(30):
        step = random_.random()
        if step < 0.5:
            any_correction(random_, log)
            states.append(state(log))
            redoable = []
        elif step < 0.8 and len(states) > 1:
            log.undo()
            redoable.append(states.pop())
            assert state(log) == states[-1]
        elif redoable:
            log.redo()
            states.append(redoable.pop())
            assert state(log) == states[-1]
        now = state(log)
        assert set(now.groups) == set(GROUPS)
        for pair in now.apart:
            groups = {now.groups.get(content, NOWHERE) for content in pair}
            assert len(groups) == 2 or groups == {NOWHERE} or set(pair) <= now.locked
    while len(states) > 1:
        log.undo()
        states.pop()
        assert state(log) == states[-1]
    assert state(log).groups == GROUPS


@pytest.mark.parametrize(
    ("do", "body", "words"),
    [
        ("fly", {}, "There is no correction 'fly'"),
        ("move", {"pictures": ["a"]}, "move needs pictures and group"),
        ("move", {"pictures": [], "group": 1}, "1 picture or more: got 0"),
        ("must-link", {"pictures": ["a", "a"]}, r"2 pictures of different content \(copies of a file are one\): got 1"),
        ("merge", {"groups": [1, 1], "into": 1}, "two different groups"),
        ("rename", {"group": 1, "name": "x" * 201}, "at most 200"),
        ("move", {"pictures": ["a"], "group": NOWHERE}, "needs a group"),
    ],
)
def test_what_is_no_correction_is_said_and_not_kept(log, do, body, words):
    with pytest.raises(DataError, match=words):
        log.add(do, **body)
    assert log.entries() == []


def test_numpy_numbers_are_taken(log):
    log.add("merge", groups=np.array([2, 3]), into=np.int64(1))
    assert set(state(log).groups.values()) == {1, NOWHERE}
