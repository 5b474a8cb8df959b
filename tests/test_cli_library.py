"""The commands on a run and its catalog: what they say after corrections, and to what does not work."""

import json
import shutil
from pathlib import Path

import pytest

from selfsort import Clusters, organize
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.changes import compare
from selfsort.photos.corrected import Corrected
from selfsort.photos.settings import Settings
from test_cli import call, error, ok


def sizes(run, *options):
    facts = json.loads(ok("groups", run, "--json", *options))
    return {group["group"]: (group["size"], group["name"]) for group in facts["groups"]}


def test_groups_are_those_after_corrections(own_run):
    before = sizes(own_run)
    clusters = Clusters.load(own_run)
    path = clusters.items.column("path")[int(clusters.groups[-1]["prototypes"][0])].as_py()
    ok("correct", own_run, "rename", "0", "Mine")
    ok("correct", own_run, "merge", "1", "2")
    own = json.loads(ok("correct", own_run, "split", path, "--json"))["group"]
    after = sizes(own_run)
    assert after[0][1] == "Mine"
    assert 2 not in after
    assert own == len(before)
    assert after[own] == (1, None)
    assert sum(size for size, _ in after.values()) == sum(size for size, _ in before.values())
    ok("correct", own_run, "rename", own, "New")  # the number that is shown is the one that is taken
    assert after.keys() == sizes(own_run).keys()
    assert sizes(own_run)[own] == (1, "New")
    coarse = {g["group"]: g["size"] for g in clusters.groups if g["level"] == 0}
    assert {group: size for group, (size, _) in sizes(own_run, "--level", "0").items()} == coarse
    for _ in range(4):
        ok("correct", own_run, "undo")
    assert sizes(own_run) == before


def test_the_log_says_which_groups_and_pictures(own_run):
    ok("correct", own_run, "rename", "0", "Mine")
    ok("correct", own_run, "lock", "stripes/03.png", "stripes/05.png")
    ok("correct", own_run, "hide", "noise/02.png", "noise/03.png", "noise/05.png", "noise/06.png")
    ok("correct", own_run, "rename", "0", "")
    lines = ok("correct", own_run, "log").splitlines()
    assert "rename group 0" in lines[0]
    assert "to 'Mine'" in lines[0]
    assert "lock stripes/03.png, stripes/05.png in group" in lines[1]
    assert "hide noise/02.png, noise/03.png, noise/05.png and 1 more" in lines[2]
    assert "to no name" in lines[3]
    assert "Group anew" not in ok("correct", own_run, "show", "noise/02.png")
    assert "Group anew" in ok("correct", own_run, "lock", "noise/05.png")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("undo", "1", "2"), "undo takes no '2'"),
        (("log", "x"), "log takes no 'x'"),
        (("rename", "1"), "rename needs a name"),
        (("rename", "1", "  "), "rename needs a name"),
        (("rename", "-9", "x"), "no group -9. The groups are 0, 1, 2, 3 (see selfsort groups)"),
        (("hide", "-dash.jpg"), "no picture '-dash.jpg'"),
        (("hide", "--", "--yes"), "no picture '--yes'"),
        (("undo", "7"), "There is no correction 7."),
        (("redo", "7"), "There is no undone correction 7."),
        (("not-the-same", "stripes/03.png", "stripes/03.png"), "2 pictures of different content"),
    ],
)
def test_words_that_are_wrong(own_run, words, said):
    assert said in error("correct", own_run, *words)
    with Corrected(own_run) as corrected:
        assert corrected.log.entries() == []


def test_what_is_undone_is_not_undone_again(own_run):
    ok("correct", own_run, "hide", "noise/02.png")
    ok("correct", own_run, "undo", "1")
    assert "Correction 1 is undone already" in error("correct", own_run, "undo", "1")


def test_a_run_whose_corrections_are_not_at_hand_is_not_handed_out(reviewed, own_run, tmp_path):
    with Corrected(own_run) as corrected:
        corrected.correct("hide", paths=["noise/02.png"])
    organize(reviewed / "pictures", own_run)
    made = (own_run / "run.json").read_bytes()
    catalog = catalog_path(own_run)
    kept = catalog.read_bytes()
    for damage, said in ((catalog.unlink, "is not there"), (catalog.touch, "is empty")):
        damage()
        for command in (("export", own_run, tmp_path / "out", "--mode", "csv"), ("groups", own_run)):
            assert f"1 correction, and its catalog {catalog}, which has them, {said}" in error(*command)
        assert said in error("organize", reviewed / "pictures", "-o", own_run)
        assert (own_run / "run.json").read_bytes() == made
    assert "is empty: what was in it is lost" in error("catalog", own_run)
    catalog.write_bytes(kept)
    ok("export", own_run, tmp_path / "out", "--mode", "csv")
    assert "noise/02.png" not in (tmp_path / "out/groups.csv").read_text()


def test_that_corrections_since_the_run_may_be_lacking_is_said(own_run, tmp_path):
    lacking = "There is no catalog beside the run"
    assert lacking not in ok("groups", own_run)
    assert lacking not in ok("export", own_run, tmp_path / "with", "--mode", "csv")
    catalog_path(own_run).unlink()
    assert lacking in ok("groups", own_run)
    assert lacking in ok("export", own_run, tmp_path / "without", "--mode", "csv")


def test_a_catalog_that_cannot_be_written_or_is_in_use_is_not_called_damaged(own_run):
    with Catalog(catalog_path(own_run), read_only=True) as reader:
        assert reader.check() == []
    with Catalog(catalog_path(own_run)) as writer, Catalog(catalog_path(own_run)) as other:
        other._db.execute("PRAGMA busy_timeout=1")
        with writer._transaction(), pytest.raises(Exception, match=r"cannot be used.*Nothing in it is lost"):
            other.check()


def test_hidden_pictures_are_in_no_plan_of_sidecars(library, own_run, tmp_path):
    ok("correct", own_run, "hide", "noise/02.png", "stripes/03.png")
    n = len(Clusters.load(own_run).items.column("status").to_pylist()) - len(library.broken)
    planned = json.loads(ok("export", own_run, tmp_path / "out", "--mode", "xmp", "--dry-run", "--json"))
    assert planned["planned"] == n - 2
    made = json.loads(ok("export", own_run, tmp_path / "out", "--mode", "xmp", "--json"))
    assert (made["done"], made["already_done"]) == (n - 2, 0)
    assert not (tmp_path / "out/noise/02.png.xmp").exists()
    assert (tmp_path / "out/noise/03.png.xmp").exists()


def test_an_export_of_nothing_is_no_success(library, tmp_path):
    pictures = tmp_path / "pictures"
    shutil.copytree(library.root / "noise", pictures)
    organize(pictures, tmp_path / "run")
    shutil.rmtree(pictures)
    result = call("export", tmp_path / "run", tmp_path / "out", "--mode", "copy")
    assert result.exit_code == 1
    assert "they are not there now. Connect the disk" in result.stderr


def test_what_was_not_read_is_not_said_to_be_absent(library, tmp_path):
    organize(library.root, tmp_path / "run", settings=Settings(metadata=False, looks=False))
    text = ok("duplicates", tmp_path / "run")
    assert "identical: 4 sets" in text
    assert "same shot: not looked for. Give selfsort organize again without --no-looks." in text
    assert "burst: not looked for. Give selfsort organize again without --no-looks and --no-metadata." in text
    assert "without --no-metadata" in ok("events", tmp_path / "run")
    organize(library.root, tmp_path / "run")
    assert "not looked for" not in ok("duplicates", tmp_path / "run")
    assert "--no-metadata" not in ok("events", tmp_path / "run")


def test_pictures_in_a_folder_that_cannot_be_read_are_not_gone():
    before = {b"a/1.jpg": "1", b"a/2.jpg": "2", b"ab.jpg": "3", b"b.jpg": "4"}
    changes = compare(before, {b"a": None, b"b.jpg": "4"})
    assert changes.gone == ["ab.jpg"]


def test_paths_that_lead_nowhere_are_one_line(own_run, tmp_path):
    long = tmp_path / ("x" * 300)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for command in (
        ("organize", tmp_path, "-o", long),
        ("organize", long),
        ("catalog", own_run, "--backup", long),
        ("undo", long),
        ("demo", "-o", long),
        ("organize", tmp_path, "-o", tmp_path / "y", "--encoder", long),
        ("catalog", own_run, "--backup", own_run / "run.json" / "x"),
        ("export", own_run, long, "--mode", "csv"),
        ("export", own_run, loop, "--mode", "csv"),
        ("undo", loop),
    ):
        assert "is damaged" not in error(*command), command


def test_a_file_that_is_no_journal_is_not_to_be_undone(library):
    assert "is a file, and no export" in error("undo", library.root / "noise/02.png")


@pytest.mark.parametrize("command", [("organize", ""), ("organize", ".", "-o", ""), ("duplicates", "")])
def test_an_empty_path_is_not_the_current_folder(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*command)
    assert result.exit_code == 2
    assert "the path is empty" in result.stderr
    assert list(Path().iterdir()) == []
