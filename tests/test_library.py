"""The main job with a catalog: what is read once, and what becomes of corrections in later runs."""

import csv
import shutil

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from conftest import KINDS, draw, snapshot
from selfsort import Clusters, DataError, Settings, organize
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.corrected import Corrected
from selfsort.photos.state import NOWHERE, own_key


@pytest.fixture
def organized(library, tmp_path):
    """A run of the small library in a folder of its own."""
    organize(library.root, tmp_path / "run")
    return tmp_path / "run"


def again(library, run, **settings):
    return organize(library.root, run, settings=Settings(**settings))


def of_kind(library, kind):
    return sorted(path for path, name in library.kinds.items() if name == kind)


def groups(clusters):
    return dict(zip(clusters.items.column("path").to_pylist(), clusters.labels.tolist(), strict=True))


def number_of(clusters, path):
    return clusters.numbers[groups(clusters)[path]]


def key_of(clusters, path):
    number = groups(clusters)[path]
    return next(g["key"] for g in clusters.groups if (g["level"], g["group"]) == (clusters.run["level"], number))


def test_pictures_are_looked_at_once(library, organized, tmp_path):
    with Catalog(catalog_path(organized)) as catalog:
        looks, metadata = catalog.facts("looks"), catalog.facts("metadata")
        assert len(looks) == len(metadata) == len(set(library.kinds)) - len(library.copies)
        assert catalog.check() == []
    calls = []
    organize(library.root, organized, settings=Settings(granularity=2), progress=lambda *call: calls.append(call))
    assert [call for call in calls if call[0] == "look"] == [("look", len(looks), len(looks))]


def test_a_stopped_look_goes_on(library, tmp_path, monkeypatch):
    monkeypatch.setattr("selfsort.photos.facets._KEEP_SECONDS", 0.0)

    def stop(name, done, total):
        if name == "look" and done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        organize(library.root, tmp_path / "run", progress=stop)
    with Catalog(catalog_path(tmp_path / "run"), make=False) as catalog:
        kept = catalog.facts("looks")
    assert len(kept) >= 10
    calls = []
    organize(library.root, tmp_path / "run", progress=lambda *call: calls.append(call))
    first = next(done for name, done, _ in calls if name == "look")
    assert first == len(kept)


@pytest.mark.parametrize("wanted", [(), ("metadata",), ("looks",)])
def test_each_facet_is_optional(library, tmp_path, wanted):
    choice = {name: name in wanted for name in ("metadata", "looks")}
    clusters = organize(library.root, tmp_path / "run", settings=Settings(**choice))
    assert ("kinds" in clusters.run) == choice["looks"]
    with Catalog(catalog_path(tmp_path / "run")) as catalog:
        assert {name: bool(catalog.facts(name)) for name in choice} == choice


def test_a_run_in_memory_has_the_same_groups(library, organized):
    here = organize(library.root)
    np.testing.assert_array_equal(here.levels, Clusters.load(organized).levels)


def test_kinds_are_the_coarsest_level(library, organized):
    clusters = Clusters.load(organized)
    assert sum(clusters.run["kinds"].values()) == clusters.run["n_ok"]
    if clusters.run["level"] == 1:
        names = [g["suggested"]["name"] for g in clusters.groups if g["level"] == 0]
        kinds = [g["kind"] for g in clusters.groups if g["level"] == 0]
        assert len(kinds) == len(names)
        assert set(kinds) <= set(clusters.run["kinds"])
        known = {f"{kind.capitalize()}s" for kind in clusters.run["kinds"]}
        assert {name.split(" · ")[0] for name in names if name} <= known
        assert sum(map(bool, names)) >= 3  # where the pixels alone are in doubt, there is no name


def test_the_same_command_again_is_the_same_run(library, organized):
    before = snapshot(organized)
    again(library, organized)
    assert snapshot(organized) == before


def test_a_name_comes_again_with_every_run(library, organized):
    path = of_kind(library, "noise")[0]
    with Corrected(organized) as corrected:
        corrected.correct("rename", groups=[number_of(corrected.clusters, path)], name="Static 雪")
    for granularity in (1.0, 0.7, 1.5):
        clusters = again(library, organized, granularity=granularity)
        assert clusters.run["n_corrections"] == 1
        number = groups(clusters)[path]
        names = {g["group"]: g.get("name") for g in clusters.groups if g["level"] == clusters.run["level"]}
        assert names[number] == "Static 雪"
        assert [name for name in names.values() if name] == ["Static 雪"]


def test_moves_hold_and_their_undoing_too(library, organized):
    first, second = of_kind(library, "noise"), of_kind(library, "checks")
    before = groups(Clusters.load(organized))
    with Corrected(organized) as corrected:
        (number,) = corrected.correct("move", groups=[before[second[0]]], paths=first[:1])
    moved = again(library, organized)
    assert groups(moved)[first[0]] == groups(moved)[second[0]]
    assert 0 <= moved.run["moved"]["moved"] < 10
    with Corrected(organized) as corrected:
        assert corrected.log.undo().number == number
    back = again(library, organized)
    assert groups(back)[first[0]] == groups(back)[first[1]]
    np.testing.assert_array_equal(back.labels, Clusters.load(organized).labels)


def test_a_merge_holds_in_later_runs_and_can_be_undone(library, organized):
    one, other = of_kind(library, "noise")[0], of_kind(library, "checks")[0]
    before = groups(Clusters.load(organized))
    with Corrected(organized) as corrected:
        corrected.correct("merge", groups=[before[one], before[other]])
        assert len(corrected.labels()[1]) == len(set(before.values()) - {-1}) - 1
    for granularity in (1.0, 1.3):
        clusters = again(library, organized, granularity=granularity)
        assert groups(clusters)[one] == groups(clusters)[other]
    with Corrected(organized) as corrected:
        corrected.log.undo()
    clusters = again(library, organized)
    assert groups(clusters)[one] != groups(clusters)[other]


def test_corrections_follow_pictures_that_are_moved_and_come_back(library, tmp_path):
    root = tmp_path / "pictures"
    shutil.copytree(library.root, root)
    run = tmp_path / "run"
    organize(root, run)
    picture, home = of_kind(library, "noise")[3], of_kind(library, "pages")[0]
    with Corrected(run) as corrected:
        corrected.correct("move", groups=[groups(corrected.clusters)[home]], paths=[picture])
    (root / picture).rename(root / "elsewhere.png")
    clusters = organize(root, run)
    assert clusters.run["changes"]["moved"] == 1
    assert groups(clusters)["elsewhere.png"] == groups(clusters)[home]
    (root / "elsewhere.png").rename(tmp_path / "away.png")
    clusters = organize(root, run)
    assert clusters.run["changes"]["gone"] == 1
    (tmp_path / "away.png").rename(root / "again.png")
    clusters = organize(root, run)
    assert groups(clusters)["again.png"] == groups(clusters)[home]


def test_new_pictures_join_groups_and_the_others_keep_theirs(library, tmp_path):
    root = tmp_path / "pictures"
    shutil.copytree(library.root, root)
    first = organize(root, tmp_path / "run")
    keys = {path: key_of(first, path) for path in library.kinds if groups(first)[path] >= 0}
    for kind in KINDS:
        draw(kind, 500).save(root / f"new {kind}.png")
    second = organize(root, tmp_path / "run")
    assert second.run["n_encoded"] == len(KINDS)
    assert second.run["changes"]["new"] == len(KINDS)
    same = [key_of(second, path) == key for path, key in keys.items()]
    assert np.mean(same) > 0.9
    joined = [key_of(second, f"new {kind}.png") == key_of(second, of_kind(library, kind)[1]) for kind in KINDS]
    assert sum(joined) >= 4


def test_settings_there_and_back_keep_keys_and_corrections(library, organized):
    one = of_kind(library, "noise")[0]
    for n_groups in (4, 2, 4):
        clusters = again(library, organized, groups=n_groups)
        with Corrected(organized) as corrected:
            assert set(corrected.state().groups.values()) - {NOWHERE} == {
                g["key"] for g in clusters.groups if g["level"] == clusters.run["level"]
            }
    with Corrected(organized) as corrected:
        corrected.correct("rename", groups=[number_of(clusters, one)], name="Static")
        assert "Static" in corrected.state().names.values()
    assert "Static" in {g.get("name") for g in again(library, organized, groups=4).groups}


def test_a_whole_group_that_is_gone_for_a_run_comes_back_with_its_name(library, tmp_path):
    root = tmp_path / "pictures"
    shutil.copytree(library.root, root)
    first = organize(root, tmp_path / "run")
    with Corrected(tmp_path / "run") as corrected:
        corrected.correct("rename", groups=[number_of(first, of_kind(library, "noise")[1])], name="Static")
    shutil.move(root / "noise", tmp_path / "noise")
    assert "Static" not in {g.get("name") for g in organize(root, tmp_path / "run").groups}
    shutil.move(tmp_path / "noise", root / "noise")
    back = organize(root, tmp_path / "run")
    number = groups(back)[of_kind(library, "noise")[1]]
    assert [g.get("name") for g in back.groups if (g["level"], g["group"]) == (back.run["level"], number)] == ["Static"]


def test_a_run_whose_catalog_is_lost_can_be_corrected_after_it_is_made_again(library, organized):
    catalog_path(organized).unlink()
    again(library, organized)
    with Corrected(organized) as corrected:
        assert corrected.correct("split", paths=of_kind(library, "noise")[:1])
        own = NOWHERE - 1
        number = corrected.numbers(corrected.state())[own]
        assert number == len(corrected.clusters.numbers)
        corrected.correct("rename", groups=[number], name="Mine")
        assert corrected.state().names == {own: "Mine"}


def test_originals_are_never_touched(library, organized):
    before = snapshot(library.root)
    with Corrected(organized) as corrected:
        corrected.correct("split", paths=of_kind(library, "noise")[:2])
        corrected.correct("lock", paths=of_kind(library, "disks")[:2])
    again(library, organized)
    assert snapshot(library.root) == before


def test_what_cannot_be_corrected_is_said(library, organized, tmp_path):
    with Corrected(organized) as corrected:
        for do, wanted in [
            ({"do": "move", "groups": [99], "paths": ["noise/01.jpg"]}, "no group 99. The groups are 0, 1"),
            ({"do": "hide", "paths": ["nothing.jpg"]}, "no picture 'nothing.jpg'"),
            ({"do": "hide", "paths": [library.broken[0]]}, "could not be read"),
            ({"do": "merge", "groups": [0, 0]}, "two different groups"),
        ]:
            with pytest.raises(DataError, match=wanted):
                corrected.correct(do.pop("do"), **do)
        assert corrected.log.entries() == []
        one, other, third = of_kind(library, "disks")[-3:]  # the first has a copy
        corrected.correct("move", groups=[0], paths=[one, other, third])
        corrected.correct("lock", paths=[one, other])
        with pytest.raises(DataError, match=f"'{one}' and '{other}' are locked in one group"):
            corrected.correct("cannot-link", paths=[one, third, other])
        assert len(corrected.log.entries()) == 2
        corrected.correct("cannot-link", paths=[one, third])  # one of them may go
        corrected.log.undo()
    shutil.copytree(organized, tmp_path / "copy")
    with pytest.raises(DataError, match="no catalog"):
        Corrected(tmp_path / "copy")
    Catalog(tmp_path / "copy.catalog").close()
    with pytest.raises(DataError, match="does not know the groups"):
        Corrected(tmp_path / "copy")


def test_a_lost_catalog_costs_only_corrections(library, organized):
    labels = Clusters.load(organized).labels
    catalog_path(organized).unlink()
    shutil.rmtree(organized)
    np.testing.assert_array_equal(again(library, organized).labels, labels)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_forty_corrections_place_other_pictures_better(data, tmp_path, seed):
    """Photo library: pictures drawn at random of those that are not where their label is at home are put there."""
    run = tmp_path / "run"
    with open(data / "photos/f1_library_labels.csv", encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    clusters = organize(data / "photos/f1_library.tar", run)
    paths = clusters.items.column("path").to_pylist()
    truth = np.array([rows[path]["label"] for path in paths])
    scored = np.array([rows[path]["eval"] == "1" for path in paths])
    first = clusters.labels.copy()
    homes = homes_of(truth, first)
    away = np.flatnonzero(scored & np.array([homes.get(label) != g for label, g in zip(truth, first, strict=True)]))
    drawn = np.random.default_rng(seed).choice(away, 40, replace=False)
    own: dict[str, int] = {}
    with Corrected(run) as corrected:
        for row in drawn:
            label = truth[row]
            if label in homes or label in own:
                number = homes.get(label, own.get(label))
                corrected.correct("move", groups=[number], paths=[paths[row]])
            else:
                (entry,) = corrected.correct("split", paths=[paths[row]])
                own[label] = corrected.numbers(corrected.state())[own_key(entry)]
        wanted = corrected.state().groups
    taught = organize(data / "photos/f1_library.tar", run)
    with Corrected(run) as corrected:
        now = corrected.state().groups
        ids = taught.items.column("id").to_pylist()
        assert all(now[ids[row]] == wanted[ids[row]] for row in drawn)
    others = scored.copy()
    others[drawn] = False
    gain = adjusted_mutual_info_score(truth[others], taught.labels[others]) - adjusted_mutual_info_score(
        truth[others], first[others]
    )
    assert gain > 0.04


def homes_of(truth, labels):
    """Return the group that is each label's home: where it is the most frequent, each group for one label."""
    homes = {}
    sizes = {(g, c): np.sum((labels == g) & (truth == c)) for g in range(labels.max() + 1) for c in np.unique(truth)}
    for (group, label), size in sorted(sizes.items(), key=lambda item: -item[1]):
        most = max(sizes[group, other] for other in np.unique(truth))
        if label not in homes and group not in homes.values() and size == most > 0:
            homes[label] = group
    return homes
