"""Every group has one number: it is listed, taken by all commands, and the same in every run of the library."""

import csv
import itertools
import random
import shutil

import pytest

from conftest import draw
from selfsort import Clusters, Settings, export, organize
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.corrected import Corrected, opened
from selfsort.photos.outcome import listed
from selfsort.photos.state import NOWHERE


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A library of 24 pictures, and its run."""
    folder = tmp_path_factory.mktemp("numbers")
    for kind in ("stripes", "disks", "noise"):
        (folder / "pictures" / kind).mkdir(parents=True)
        for number in range(8):
            draw(kind, number).save(folder / "pictures" / kind / f"{number}.png")
    organize(folder / "pictures", folder / "run", settings=Settings(groups=4))
    return folder


@pytest.fixture
def own(made, tmp_path):
    """A copy of it that may be changed."""
    shutil.copytree(made, tmp_path / "own")
    return tmp_path / "own"


def again(own, **settings):
    return organize(own / "pictures", own / "run", replace=True, settings=Settings(**{"groups": 4} | settings))


def groups(run):
    """Return number -> group as `selfsort groups` lists them."""
    with opened(run) as (clusters, corrected):
        found, _ = listed(clusters, corrected, clusters.run["level"])
    return {group["group"]: group for group in found}


def members(run):
    """Return number -> paths of its pictures."""
    with opened(run) as (clusters, corrected):
        state, paths = corrected.state(), clusters.items.column("path").to_pylist()
        numbers = corrected.numbers(state)
        found = {}
        for path, content in zip(paths, clusters.items.column("id").to_pylist(), strict=True):
            found.setdefault(numbers.get(state.groups[content]), set()).add(path)
    found.pop(None, None)
    return found


_names = itertools.count()


def assert_every_number_is_taken(own):
    """Rename every listed group by its number, see that it and no other has the name, and take that back."""
    run, before = own / "run", groups(own / "run")
    assert len(set(before)) == len(before)
    assert all(number >= 0 for number in before)
    for number in before:
        with Corrected(run) as corrected:
            name = f"x {next(_names)}"  # a new one: to say once more what a redo said would change nothing
            corrected.correct("rename", groups=[number], name=name)
        assert {g for g, of in groups(run).items() if of["name"] == name} == {number}
        with Corrected(run) as corrected:
            corrected.log.undo()
    assert groups(run) == before
    shutil.rmtree(own / "out", ignore_errors=True)
    export(run, own / "out", mode="csv", hidden=True)
    with (own / "out/groups.csv").open(newline="") as file:
        exported = {int(row["group"]) for row in csv.DictReader(file)}
    assert exported - {NOWHERE} == set(before)


def any_step(own, random_):
    """Do one thing that a person could do, at random."""
    run, there = own / "run", list(groups(own / "run"))
    every = Clusters.load(run).items.column("path").to_pylist()
    some = random_.sample(every, 2)
    do = random_.choice(["rename", "merge", "move", "split", "hide", "undo", "undo", "redo", "organize", "organize"])
    if do == "organize":
        again(own, groups=random_.choice([3, 4, 5]))
        return
    with Corrected(run) as corrected:
        entries = corrected.log.entries()
        undone = [entry.number for entry in entries if entry.undone]
        live = [entry.number for entry in entries if not entry.undone]
        if do == "undo" and live:
            corrected.log.undo(random_.choice(live))
        elif do == "redo" and undone:
            corrected.log.redo(random_.choice(undone))
        elif do == "rename":
            corrected.correct(do, groups=[random_.choice(there)], name=random_.choice(["Rex", "Alps", ""]))
        elif do == "merge" and len(there) > 1:
            corrected.correct(do, groups=random_.sample(there, 2))
        elif do == "move":
            corrected.correct(do, groups=[random_.choice(there)], paths=some)
        elif do in ("split", "hide"):
            corrected.correct(do, paths=some)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_in_every_state_every_listed_number_is_taken(own, seed):
    random_ = random.Random(seed)
    for _ in range(12):
        any_step(own, random_)
        assert_every_number_is_taken(own)


@pytest.mark.parametrize("action", ["rename", "merge"])
def test_undo_of_what_was_said_before_the_last_run(own, action):
    run = own / "run"
    before, were = groups(run), members(run)
    with Corrected(run) as corrected:
        if action == "rename":
            corrected.correct("rename", groups=[1], name="Rex")
        else:
            corrected.correct("merge", groups=[1, 2])
    again(own)
    assert (groups(run)[1]["name"], 2 in groups(run)) == (("Rex", True) if action == "rename" else (None, False))
    with Corrected(run) as corrected:
        corrected.log.undo()
    assert members(run) == were
    assert groups(run)[1]["name"] is None
    if action == "rename":
        assert groups(run)[1]["suggested"]["name"] == before[1]["suggested"]["name"] != ""
    assert_every_number_is_taken(own)
    again(own)
    assert {number: of["suggested"] for number, of in groups(run).items()} == {
        number: of["suggested"] for number, of in before.items()
    }


def test_groups_keep_their_numbers_when_pictures_come_and_go(own):
    run, were = own / "run", members(own / "run")
    for number in range(8, 12):
        draw("pages", number).save(own / "pictures" / f"page {number}.png")
    for path in sorted(were[0])[:2]:
        (own / "pictures" / path).unlink()
    again(own, groups=5)
    now = members(run)
    for number in were:
        assert max(were[number], key=lambda path: path in now.get(number, ())) in now[number]
        assert len(were[number] & now[number]) * 2 > len(were[number]) - 2
    assert max(now) > max(were)
    for path in (own / "pictures").glob("page *"):
        path.unlink()
    again(own)
    assert members(run).keys() <= were.keys()


def test_numbers_of_groups_that_are_gone_are_not_used_again(own):
    used = set(groups(own / "run"))
    with Corrected(own / "run") as corrected:
        corrected.correct("split", paths=["noise/0.png", "noise/1.png"])
    new = set(groups(own / "run")) - used
    with Corrected(own / "run") as corrected:
        corrected.log.undo()
        corrected.correct("split", paths=["disks/0.png", "disks/1.png"])
    newer = set(groups(own / "run")) - used
    assert new.isdisjoint(newer)
    assert max(newer) > max(new) > max(used)


def test_a_catalog_of_an_earlier_version_numbers_groups_as_its_run_does(own):
    run = own / "run"
    with Catalog(catalog_path(run)) as catalog:
        catalog._db.execute("DROP TABLE group_numbers")
        catalog._db.execute("ALTER TABLE pictures DROP COLUMN former")
        catalog._db.execute("PRAGMA user_version=2")
    were = groups(run)  # read only: it stays of the earlier version
    assert sorted(were) == [0, 1, 2, 3]
    with Corrected(run) as corrected:
        corrected.correct("split", paths=["noise/0.png"])
    assert sorted(groups(run)) == [0, 1, 2, 3, 4]
