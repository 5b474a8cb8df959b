"""What is said, refused and kept when a run is made again; how functions are called, and what they show."""

import io
import json
import re
import shutil

import numpy as np
import pytest

import selfsort
from conftest import draw
from selfsort import Clusters, DataError, Settings, fit, organize
from selfsort.arguments import PATH, WHOLE, checked, optional
from selfsort.photos.catalog import catalog_path
from selfsort.photos.corrected import Corrected
from selfsort.progress import reporting
from test_cli import error, ok


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("again")
    (folder / "pictures").mkdir()
    for number in range(8):
        draw(("stripes", "disks")[number % 2], number).save(folder / f"pictures/{number}.png")
    organize(folder / "pictures", folder / "run", groups=2)
    return folder


@pytest.fixture
def own(made, tmp_path):
    shutil.copytree(made, tmp_path / "own")
    organize(tmp_path / "own/pictures", tmp_path / "own/run", groups=2, replace=True)
    return tmp_path / "own"


def entries(run):
    with Corrected(run) as corrected:
        return len(corrected.catalog.entries())


def test_an_unchanged_run_says_so_and_no_old_news(own):
    (own / "pictures/7.png").unlink()
    command = ("organize", own / "pictures", "-o", own / "run", "--groups", "2")
    assert "1 gone" in ok(*command)
    again = ok(*command)
    assert re.match(r"Nothing has changed since \d+ [A-Z][a-z]+ \d{4}, \d\d:\d\d: 7 pictures in ", again)
    assert "gone" not in again
    assert " s)" not in again
    facts = json.loads(ok(*command, "--json"))
    assert facts["unchanged"] is True
    assert facts["changes"] == {"new": 0, "copies": 0, "changed": 0, "moved": 0, "gone": 0, "same": 7}
    assert facts["seconds"] == {}


def test_a_run_of_other_pictures_is_replaced_only_when_asked(own, tmp_path):
    (tmp_path / "other").mkdir()
    for number in range(4):
        draw("pages", number).save(tmp_path / f"other/{number}.png")
    before = (own / "run/run.json").read_bytes()
    said = error("organize", tmp_path / "other", "-o", own / "run")
    assert f"is a run of selfsort organize on {own / 'pictures'}" in said
    assert "--replace" in said
    with pytest.raises(DataError, match=r"selfsort fit kmeans on .*--replace"):
        fit("kmeans", own / "pictures", own / "run", params={"n_clusters": 2})
    assert (own / "run/run.json").read_bytes() == before
    shutil.rmtree(own / "pictures")  # gone, but these are other pictures all the same
    error("organize", tmp_path / "other", "-o", own / "run")
    ok("organize", tmp_path / "other", "-o", own / "run", "--replace")
    assert Clusters.load(own / "run").run["n_ok"] == 4


@pytest.mark.parametrize("content", [None, b"text"])
def test_a_folder_without_pictures_is_refused_and_nothing_is_written(tmp_path, content):
    (tmp_path / "pictures").mkdir()
    if content:
        (tmp_path / "pictures/a.jpg").write_bytes(content)
    assert "There" in error("organize", tmp_path / "pictures", "-o", tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_pictures_that_all_became_unreadable_cost_no_run(own):
    before = (own / "run/run.json").read_bytes()
    for path in (own / "pictures").iterdir():
        path.write_bytes(b"x")
    error("organize", own / "pictures", "-o", own / "run")
    assert (own / "run/run.json").read_bytes() == before
    assert catalog_path(own / "run").exists()


def test_links_that_say_the_opposite_are_refused_with_the_correction_that_does(own):
    run = own / "run"
    ok("correct", run, "must-link", "0.png", "1.png")
    assert "'0.png' and '1.png' belong together, as correction 1 says" in error(
        "correct", run, "cannot-link", "0.png", "1.png"
    )
    ok("correct", run, "must-link", "1.png", "2.png")
    assert "as corrections 1 and 2 say" in error("correct", run, "cannot-link", "2.png", "0.png")
    ok("correct", run, "cannot-link", "2.png", "3.png")
    assert "do not belong together, as correction 3 says" in error("correct", run, "must-link", "3.png", "0.png")
    assert entries(run) == 3
    ok("correct", run, "undo", "2")
    ok("correct", run, "cannot-link", "2.png", "0.png")
    assert "do not belong together, as correction 5 says" in error("correct", run, "redo", "2")
    ok("correct", run, "undo", "5")
    ok("correct", run, "redo", "2")


def test_pictures_that_are_locked_in_two_groups_cannot_be_linked(own):
    groups = {label: path for path, label in zip(*paths_and_labels(own / "run"), strict=True)}
    ok("correct", own / "run", "lock", *groups.values())
    assert "locked in two groups" in error("correct", own / "run", "must-link", *groups.values())


def paths_and_labels(run):
    clusters = Clusters.load(run)
    return clusters.items.column("path").to_pylist(), clusters.labels.tolist()


@pytest.mark.parametrize(
    "words",
    [
        ("hide", "0.png"),
        ("lock", "0.png"),
        ("rename", "0", "Rex"),
        ("move", "1", "0.png"),
        ("must-link", "0.png", "2.png"),
        ("cannot-link", "0.png", "2.png"),
        ("not-the-same", "0.png", "2.png"),
        ("not-this", "0.png"),
    ],
)
def test_what_is_so_already_is_not_logged(own, words):
    run = own / "run"
    for undone in ("show", "unlock"):
        assert "Nothing to do: none of these pictures is" in ok("correct", run, undone, "0.png")
    assert entries(run) == 0
    ok("correct", run, *words)
    if words[0] != "not-this":  # then the picture is in no group to take it out of
        assert "Nothing to do: that is so already" in ok("correct", run, *words)
        assert json.loads(ok("correct", run, *words, "--json"))["numbers"] == []
    assert entries(run) == 1


def test_an_undo_that_brings_a_group_back_says_where_its_name_comes_from(own):
    ok("correct", own / "run", "merge", "0", "1")
    organize(own / "pictures", own / "run", groups=2)
    said = ok("correct", own / "run", "undo")
    assert "The next selfsort organize suggests names for what was not in the run: group 1." in said


def test_results_can_be_compared_and_printed(made, own):
    one, same = Clusters.load(made / "run"), Clusters.load(made / "run")
    assert one == same
    assert (one != same) is False
    assert len(repr(one)) < 200
    assert "8 items in 2 groups" in repr(one)
    same.embedding = np.array(same.embedding)
    same.embedding[0, 0] += 1
    assert one != same
    assert one != "run"
    other = Clusters.load(made / "run")
    other.map = np.full_like(other.map, np.nan)
    assert other != one
    other.path = None
    assert other == other


def test_wrong_arguments_are_named(made):
    pictures, run = np.zeros((6, 8, 8, 3), np.uint8), made / "run"
    assert organize(pictures, groups=1).run["n_groups"] == 1
    for call, said in [
        (lambda: organize(None), "Pictures must be a folder"),
        (lambda: organize(3.5), r"got 3.5 \(float\)"),
        (lambda: organize(pictures, group=3), "no setting 'group'. Did you mean groups"),
        (lambda: organize(pictures, groups="3"), "groups must be a whole number"),
        (lambda: organize(pictures, settings={"groups": 3}), "settings must be a selfsort.Settings"),
        (lambda: organize(pictures, [1]), "output must be a path"),
        (lambda: organize(pictures, progress=3), "progress must be a callable"),
        (lambda: organize(), "missing a required argument: 'data'"),
        (lambda: organize(pictures, encoder=3), "encoder must be a name"),
        (lambda: fit(None, pictures), "method must be a text"),
        (lambda: fit("kmaens", pictures), "Did you mean kmeans"),
        (lambda: fit("kmeans", pictures, params=[1]), "params must be a mapping"),
        (lambda: fit("kmeans", pictures, params={"n_cluster": 1}), "Did you mean n_clusters"),
        (lambda: fit("kmeans", "digts"), "Did you mean digits"),
        (lambda: Clusters.load(None), r"Clusters.load: folder must be a path"),
        (lambda: selfsort.evaluate(str(run), "folders"), "clusters must be a Clusters"),
        (lambda: selfsort.evaluate(Clusters.load(run), "folders", level="x"), "level must be a whole number"),
        (lambda: selfsort.export(3, made / "x", mode="csv"), "run must be"),
        (lambda: selfsort.export(run, made / "x", mode="csv", levle=1), "Did you mean level"),
        (lambda: selfsort.undo(None), "destination must be a path"),
        (lambda: selfsort.predict(run, None), "Pictures must be"),
        (lambda: selfsort.load_model(3), "folder must be a path"),
        (lambda: selfsort.choose_k("x"), "vectors must be an array of numbers"),
        (lambda: selfsort.consensus(3), "clusterings must be"),
    ]:
        with pytest.raises(DataError, match=said):
            call()


def test_checked_leaves_right_calls_alone():
    @checked(a=WHOLE, b=optional(PATH))
    def function(a, b=None, *, c=0):
        """Say what it does."""
        return a, b, c

    assert function(1, "x", c=3) == (1, "x", 3)
    assert function(np.int64(1)) == (1, None, 0)
    assert function.__doc__ == "Say what it does."
    with pytest.raises(DataError, match=r"a must be a whole number \(int\): got True"):
        function(True)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_is_shown_in_terminals_and_nowhere_else(monkeypatch):
    pictures = np.zeros((6, 8, 8, 3), np.uint8)
    for progress, stream, is_shown in [
        (None, Terminal, True),
        (False, Terminal, False),
        (True, io.StringIO, True),
        (None, io.StringIO, False),
        (lambda *_: None, Terminal, False),
    ]:
        monkeypatch.setattr("sys.stderr", stream())
        organize(pictures, progress=progress)
        import sys

        assert (sys.stderr.getvalue() != "") is is_shown, (progress, stream)
    seen = []
    with reporting(lambda *call: seen.append(call)) as report:
        report("embed", 1, 2)
    assert seen == [("embed", 1, 2)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("orgnize", "x"), "Did you mean organize?"),
        (("gruops", "x"), "Did you mean groups?"),
        (("cluster", "x"), "Did you mean organize?"),
        (("qqq",), "selfsort --help"),
        (("organize", "x", "--granularty", "3"), "--granularity"),
    ],
)
def test_typos_get_a_suggestion(words, said):
    assert said in error(*words, code=2)


def test_a_folder_in_the_place_of_a_command(made, monkeypatch):
    monkeypatch.chdir(made)
    assert "selfsort organize pictures" in error("pictures", code=2)


def test_settings_given_both_ways():
    pictures = np.zeros((6, 8, 8, 3), np.uint8)
    found = organize(pictures, settings=Settings(groups=2, seed=3), groups=1)
    assert (found.run["params"]["groups"], found.run["params"]["seed"]) == (1, 3)
