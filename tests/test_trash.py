import json
import os
import sys
from urllib.parse import unquote

import pytest
from click.testing import CliRunner

from exports import catalogued, folder_of_run, load, originals  # noqa: F401
from selfsort.cli import main
from selfsort.errors import DataError
from selfsort.files import content_id
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.duplicates import find_same
from selfsort.photos.export import export
from selfsort.photos.outcome import listed
from selfsort.photos.place import alone_in
from selfsort.photos.restore import plan_restore, restore
from selfsort.photos.trash import move_to_trash, plan_trash
from selfsort.photos.trash_log import note, trash_log, trashed_rows
from selfsort.sources import open_source
from test_export import make_archive, make_run, write_files

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="knows only the trash of Linux desktops")


@pytest.fixture(name="bin_")
def trash_of_a_home(tmp_path, monkeypatch):
    """The trash of a home that is there for this test only."""
    import send2trash
    from send2trash import plat_other

    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "share"))
    monkeypatch.setattr(send2trash, "send2trash", plat_other.send2trash)
    monkeypatch.setattr(plat_other, "XDG_DATA_HOME", os.fsencode(home / "share"))
    monkeypatch.setattr(plat_other, "HOMETRASH_B", os.fsencode(home / "share/Trash"))
    return home / "share/Trash"


@pytest.fixture
def run(tmp_path):
    """Pictures with two copies of one content, a link to one of them, and a hard link."""
    files = {"a.jpg": b"same", "b/copy.jpg": b"same", "only.jpg": b"only", "link.jpg": b"only", "hard.jpg": b"only"}
    root = tmp_path / "pictures"
    (root / "b").mkdir(parents=True)
    for name in ("a.jpg", "b/copy.jpg", "only.jpg"):
        (root / name).write_bytes(files[name])
    (root / "link.jpg").symlink_to("only.jpg")
    (root / "hard.jpg").hardlink_to(root / "only.jpg")
    return catalogued(tmp_path, files)


def log_of(run):
    return [json.loads(line) for line in trash_log(run).read_text().splitlines()]


def facts(plan):
    return {doomed.path: (doomed.size, doomed.link, doomed.only_copy) for doomed in plan.files}


def test_only_what_is_named_goes_and_it_can_be_found_again(tmp_path, run, bin_):
    clusters, before = load(run), originals(tmp_path / "pictures")
    plan = plan_trash(clusters, ["a.jpg", "a.jpg"])
    assert facts(plan) == {"a.jpg": (4, False, False)}
    assert originals(tmp_path / "pictures") == before
    seen = []
    assert move_to_trash(clusters, plan, progress=lambda *step: seen.append(step)).done == ["a.jpg"]
    assert seen[-1] == ("trash", 1, 1)
    before.pop(str(tmp_path / "pictures/a.jpg"))
    assert originals(tmp_path / "pictures") == before
    assert (bin_ / "files/a.jpg").read_bytes() == b"same"
    assert str(tmp_path / "pictures/a.jpg") in unquote((bin_ / "info/a.jpg.trashinfo").read_text())
    first, second = log_of(run)
    assert (first["do"], first["path"], first["size"], first["only_copy"]) == ("trash", "a.jpg", 4, False)
    assert (first["file"], first["id"]) == (str(tmp_path / "pictures/a.jpg"), clusters.items.column("id")[0].as_py())
    assert (second["do"], second["path"]) == ("trashed", "a.jpg")


@pytest.mark.parametrize(
    ("paths", "only"),
    [
        (["a.jpg"], []),
        (["a.jpg", "b/copy.jpg"], ["a.jpg", "b/copy.jpg"]),
        (["only.jpg"], []),  # the hard link holds it
        (["only.jpg", "hard.jpg"], ["only.jpg", "hard.jpg"]),  # what is left is a link to nowhere
        (["link.jpg"], []),
    ],
)
def test_the_only_copy_is_named_as_such(run, paths, only):
    assert [doomed.path for doomed in plan_trash(load(run), paths).files if doomed.only_copy] == only


def test_of_a_link_the_link_goes(tmp_path, run, bin_):
    clusters = load(run)
    plan = plan_trash(clusters, ["link.jpg"])
    assert facts(plan) == {"link.jpg": (0, True, False)}
    move_to_trash(clusters, plan)
    assert not os.path.lexists(tmp_path / "pictures/link.jpg")
    assert (tmp_path / "pictures/only.jpg").read_bytes() == b"only"
    assert (bin_ / "files/link.jpg").is_symlink()
    assert log_of(run)[0]["link_to"] == "only.jpg"


def test_what_has_changed_stays(tmp_path, run, bin_):
    clusters, root = load(run), tmp_path / "pictures"
    (root / "a.jpg").write_bytes(b"emas")
    plan = plan_trash(clusters, ["a.jpg", "b/copy.jpg", "only.jpg"])
    assert plan.refused == [("a.jpg", "the original has changed since the run")]
    assert facts(plan)["b/copy.jpg"] == (4, False, True)  # the other is another picture now
    (root / "b/copy.jpg").write_bytes(b"emas")  # while a person thinks it over
    result = move_to_trash(clusters, plan)
    assert (result.done, [path for path, _ in result.refused]) == (["only.jpg"], ["a.jpg", "b/copy.jpg"])
    assert (root / "a.jpg").read_bytes() == (root / "b/copy.jpg").read_bytes() == b"emas"
    plan = plan_trash(clusters, ["only.jpg"])
    assert (plan.already, plan.refused) == (["only.jpg"], [])


def test_a_trash_that_refuses_and_a_journal_that_cannot_be_written(tmp_path, run, bin_, monkeypatch):
    import send2trash

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    clusters = load(run)
    with monkeypatch.context() as patch:
        patch.setattr(send2trash, "send2trash", refuse)
        result = move_to_trash(clusters, plan_trash(clusters, ["a.jpg"]))
    assert result.refused == [("a.jpg", "the trash does not take it: Permission denied")]
    assert log_of(run)[-1]["do"] == "failed"
    trash_log(run).unlink()
    trash_log(run).mkdir()
    with pytest.raises(DataError, match="Nothing more is moved"):
        move_to_trash(clusters, plan_trash(clusters, ["a.jpg"]))
    assert (tmp_path / "pictures/a.jpg").exists()


def test_what_cannot_be_trashed_at_all(tmp_path, run):
    with pytest.raises(DataError, match=r"no picture 'x\.jpg'"):
        plan_trash(load(run), ["x.jpg"])
    make_archive(tmp_path / "a.bin", "tar")
    with pytest.raises(DataError, match="inside a tar"):
        plan_trash(make_run(tmp_path / "a.bin", source="tar"), ["a/one.jpg"])
    with pytest.raises(DataError, match="no files"):
        plan_trash(make_run("", source="array"), ["a/one.jpg"])


@pytest.fixture
def live(tmp_path):
    """A live photo in two formats with one film, notes on one of them, sidecars, and a copy that has a film too."""
    files = {
        "live.HEIC": b"still",
        "live.jpg": b"as JPEG",
        "live.MOV": b"film",
        "live.jpg.json": b"notes",
        "copy/live.HEIC": b"still",
        "copy/live.mov": b"film",
        "other.jpg": b"other",
        "alone.mov": b"of nothing",
    }
    write_files(tmp_path / "pictures", files)
    for name in ("live.xmp", "live.HEIC.xmp", "other.xmp", "alone.xmp"):
        (tmp_path / "pictures" / name).write_bytes(b"<x/>")
    status = ["ok" if name.endswith(("HEIC", "jpg")) else "not an image (video)" for name in files]
    return catalogued(tmp_path, files, status=status)


def belonging(plan):
    return {doomed.path: list(doomed.pictures) for doomed in plan.files if doomed.pictures}


def test_what_belongs_to_pictures_goes_with_the_last_of_them(tmp_path, live, bin_):
    clusters, root = load(live), tmp_path / "pictures"
    assert belonging(plan_trash(clusters, ["other.jpg"])) == {"other.xmp": ["other.jpg"]}
    assert belonging(plan_trash(clusters, ["copy/live.HEIC"])) == {"copy/live.mov": ["copy/live.HEIC"]}
    both = ["live.HEIC", "live.jpg"]
    plan = plan_trash(clusters, both)
    of_both = {"live.MOV": both, "live.jpg.json": ["live.jpg"], "live.HEIC.xmp": ["live.HEIC"], "live.xmp": both}
    assert belonging(plan) == of_both
    assert {doomed.only_copy for doomed in plan.files if doomed.pictures} == {None}
    done = move_to_trash(clusters, plan_trash(clusters, ["live.HEIC"])).done
    assert done == ["live.HEIC", "live.HEIC.xmp"]
    assert (root / "live.MOV").exists()
    plan = plan_trash(clusters, ["live.jpg", "live.MOV", "copy/live.HEIC", "copy/live.mov"])
    assert belonging(plan) == {"live.jpg.json": ["live.jpg"], "live.xmp": ["live.jpg"]}  # the films were asked for
    done = move_to_trash(clusters, plan).done
    assert set(done) == {"live.jpg", "live.MOV", "copy/live.HEIC", "copy/live.mov", "live.jpg.json", "live.xmp"}
    assert set(originals(root)) == {str(root / name) for name in ("other.jpg", "other.xmp", "alone.mov", "alone.xmp")}
    noted = {line["path"]: line for line in log_of(live) if line["do"] == "trash"}
    assert (noted["live.xmp"]["id"], noted["live.xmp"]["pictures"]) == (content_id(b"<x/>"), ["live.jpg"])


@pytest.mark.parametrize(
    ("names", "going"),
    [
        (["a.jpg", "a.xmp", "a.mov", "a.mp4", "a.AAE", "a.THM"], {"a.xmp", "a.mov", "a.mp4", "a.AAE", "a.THM"}),
        (["a.jpg", "a.jpg.xmp", "A.JPG.JSON", "a.jpg.aae"], {"a.jpg.xmp", "A.JPG.JSON", "a.jpg.aae"}),
        (["a.jpg", "a.pdf", "a.mp3", "a.psd", "a.txt", "a.json", "a.jpg.txt", "a", "ab.mov", "b.xmp"], set()),
        (["a.jpg", "a.CR2", "a.xmp", "a.mov", "a.CR2.xmp", "a.jpg.xmp"], {"a.jpg.xmp"}),  # the raw file stays
        (["a.jpg", "a.pdf", "a.xmp"], set()),  # whose that is is not known
        (["a.jpg", "A.heic", "a.mov"], set()),
        (["a", "a.jpg", "a.xmp"], set()),
        (["a.jpg", "A.JPG", "a.jpg.xmp"], set()),
        (["cafe\u0301.jpg", "caf\u00e9.heic", "cafe\u0301.xmp"], set()),
        (["a.jpg", "sub/a.mov", "A/a.mov", "a.mov/inside"], set()),
    ],
)
def test_only_what_is_of_no_use_without_a_picture_goes_with_it(tmp_path, bin_, names, going):
    files = dict.fromkeys(names, b"1") | {"z1": b"2", "z2": b"3", "z3": b"4"}
    run = catalogued(tmp_path, {names[0]: b"1", "z1": b"2", "z2": b"3", "z3": b"4"})
    write_files(tmp_path / "pictures", files)  # what the run has not seen counts too
    assert set(belonging(plan_trash(load(run), names[:1]))) == going


def test_a_long_film_is_one_by_itself(tmp_path, bin_, monkeypatch):
    run = catalogued(tmp_path, {"a.jpg": b"1", "b": b"2", "c": b"3", "d": b"4"})
    for name in ("a.mov", "a.xmp"):
        (tmp_path / "pictures" / name).write_bytes(b"12345")
    monkeypatch.setattr("selfsort.photos.belonging.MAX_FILM_BYTES", 4)
    assert belonging(plan_trash(load(run), ["a.jpg"])) == {}
    monkeypatch.setattr("selfsort.photos.belonging.MAX_FILM_BYTES", 5)
    assert set(belonging(plan_trash(load(run), ["a.jpg"]))) == {"a.mov", "a.xmp"}


@pytest.mark.parametrize("change", ["write", "link", "owner"])
def test_what_belongs_to_pictures_stays_if_anything_changed(tmp_path, live, bin_, change):
    clusters, root = load(live), tmp_path / "pictures"
    plan = plan_trash(clusters, ["other.jpg"])
    if change == "owner":
        (root / "other.raw").write_bytes(b"negative")
    else:
        (root / "other.xmp").unlink()
        if change == "write":
            (root / "other.xmp").write_bytes(b"<y/>")
        else:
            (root / "other.xmp").symlink_to("live.xmp")
    result = move_to_trash(clusters, plan)
    assert result.done == ["other.jpg"]
    assert result.refused == [("other.xmp", "it has changed, or something that it belongs to stays")]
    assert os.path.lexists(root / "other.xmp")


def test_what_belongs_to_a_picture_that_stays_stays_too(tmp_path, live, bin_, monkeypatch):
    import send2trash

    clusters, root = load(live), tmp_path / "pictures"
    plan = plan_trash(clusters, ["copy/live.HEIC", "other.jpg"])
    (root / "copy/live.HEIC").write_bytes(b"llits")
    moved = send2trash.send2trash

    def refuse(path):
        if path.endswith("jpg"):
            raise PermissionError(13, "Permission denied")
        moved(path)

    monkeypatch.setattr(send2trash, "send2trash", refuse)
    result = move_to_trash(clusters, plan)
    assert result.done == []
    assert [path for path, _ in result.refused] == ["copy/live.HEIC", "other.jpg", "copy/live.mov", "other.xmp"]
    assert (root / "copy/live.mov").read_bytes() == b"film"


def test_the_command_names_what_goes_along(live, bin_):
    said = command(live, "other.jpg", "--dry-run").stdout
    assert "other.xmp  (belongs to other.jpg)" in said
    assert "2 files (9 bytes)" in said


@pytest.mark.parametrize(
    "name",
    [
        "new\nline.jpg",
        "quote'\".jpg",
        "-rf",
        "🌨 雪.png",
        os.fsdecode(b"caf\xe9.jpg"),
        "x" * 240 + ".jpg",
        "dots...",
        " spaces ",
        "back\\slash%41.jpg",
    ],
)
def test_odd_names(tmp_path, bin_, name):
    run = catalogued(tmp_path, {name: b"1", "b": b"2", "c": b"3", "d": b"4"})
    clusters = load(run)
    result = move_to_trash(clusters, plan_trash(clusters, [name]))
    assert (result.done, [path.name for path in (bin_ / "files").iterdir()]) == ([name], [name])
    assert log_of(run)[-1]["path"] == name


def test_a_name_too_long_for_the_trash_stays(tmp_path, bin_):
    name = "x" * 255
    run = catalogued(tmp_path, {name: b"1", "b": b"2", "c": b"3", "d": b"4"})
    clusters = load(run)
    result = move_to_trash(clusters, plan_trash(clusters, [name]))
    assert result.refused == [(name, "the trash does not take it: File name too long")]
    assert (tmp_path / "pictures" / name).read_bytes() == b"1"


def command(*words, **options):
    return CliRunner().invoke(main, ["trash", *map(str, words)], **options)


def test_the_command_asks_first(tmp_path, run, bin_):
    said = command(run, "a.jpg", "b/copy.jpg", input="n\n")
    assert said.exit_code == 1
    assert "Move 2 files (8 bytes) to the trash; 2 of them the only copy that the run knows?" in said.stderr
    assert (tmp_path / "pictures/a.jpg").exists()
    assert command(run, "a.jpg").exit_code == 1  # nobody answers
    assert "nothing was moved" in command(run, "a.jpg", "--dry-run").stdout
    assert json.loads(command(run, "a.jpg", "--json").stdout)["error"].startswith("With --json")
    assert (tmp_path / "pictures/a.jpg").exists()
    assert not trash_log(run).exists()
    assert "1 file moved to the trash" in command(run, "a.jpg", input="y\n").stdout
    done = json.loads(command(run, "b/copy.jpg", "a.jpg", "--yes", "--json").stdout)
    assert (done["done"], done["already"], done["refused"]) == (["b/copy.jpg"], ["a.jpg"], [])
    facts_of_copy = {"path": "b/copy.jpg", "bytes": 4, "link": False, "only_copy": True, "belongs_to": []}
    assert done["planned"] == [facts_of_copy]


def test_the_journal_beside_a_run_is_no_picture(tmp_path, run, bin_):
    clusters = load(run)
    move_to_trash(clusters, plan_trash(clusters, ["a.jpg"]))
    assert trash_log(run).parent == tmp_path
    assert not [item for item in open_source(tmp_path).items if "trashed" in item.path]


def test_the_exit_code_says_whether_all_was_moved(tmp_path, run, bin_):
    assert command(run, "a.jpg", "--dry-run").exit_code == 0
    (tmp_path / "pictures/only.jpg").write_bytes(b"ylno")
    said = command(run, "a.jpg", "only.jpg", "--yes")
    assert (said.exit_code, "1 file moved" in said.stdout) == (1, True)
    assert command(run, "only.jpg", "--yes").exit_code == 1  # nothing at all
    said = command(run, "a.jpg", "--yes")
    assert (said.exit_code, "in the trash already: a.jpg" in said.stdout) == (1, True)
    assert command(run, "b/copy.jpg", "--yes").exit_code == 0
    assert command(run).exit_code == 2


@pytest.mark.parametrize("killed", ["before the note", "after the note"])
def test_what_a_killed_call_left_behind_goes_with_the_next(tmp_path, live, bin_, monkeypatch, killed):
    """The picture is in the trash; what belongs to it is still there."""

    class Killed(BaseException):
        pass

    clusters, root = load(live), tmp_path / "pictures"
    wanted = ["live.HEIC", "live.jpg"]

    def die(log, do, path, **facts):
        if (do, path) == ("trashed", "live.jpg") and killed == "before the note":
            raise Killed
        note(log, do, path, **facts)
        if (do, path) == ("trashed", "live.jpg"):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("selfsort.photos.trash.note", die)
        with pytest.raises(Killed):
            move_to_trash(clusters, plan_trash(clusters, wanted))
    assert (root / "live.MOV").exists()
    said = command(live, *wanted, "--yes")
    assert said.exit_code == 0
    assert "in the trash already: live.HEIC" in said.stdout
    left = {"other.jpg", "other.xmp", "alone.mov", "alone.xmp", "copy/live.HEIC", "copy/live.mov"}
    assert set(originals(root)) == {str(root / name) for name in left}


@pytest.mark.parametrize(
    "torn", [b'{"at": "2026", "do": "trashed", "pa', b"\xff\xfe", b"\0" * 9, b"[" * 9999, b"5\n", b"[]\n"]
)
def test_a_line_that_was_cut_off_spoils_no_other(tmp_path, run, bin_, torn):
    command(run, "only.jpg", "--yes")
    with open(trash_log(run), "ab") as file:
        file.write(torn)
    command(run, "a.jpg", "--yes")
    assert trashed_rows(load(run)).tolist() == [True, False, True, False, False]
    lines = trash_log(run).read_bytes().split(b"\n")
    assert [json.loads(line)["do"] for line in lines[-3:-1]] == ["trash", "trashed"]
    assert command(run, "--restore", "--yes").exit_code == 0


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_a_log_that_is_no_file_is_neither_followed_nor_waited_for(tmp_path, run, bin_, what):
    (tmp_path / "mine").write_bytes(b"mine")
    log = trash_log(run)
    {"link": lambda: log.symlink_to(tmp_path / "mine"), "pipe": lambda: os.mkfifo(log), "folder": log.mkdir}[what]()
    said = command(run, "a.jpg", "--yes")
    assert (said.exit_code, "cannot be written" in said.stderr) == (1, True)
    assert (tmp_path / "pictures/a.jpg").exists()
    assert (tmp_path / "mine").read_bytes() == b"mine"


@pytest.mark.parametrize("moment", ["before", "between"])
def test_a_linked_folder_does_not_lead_out_of_the_library(tmp_path, bin_, moment):
    files = {"in/a.jpg": b"1", "out/b.jpg": b"2", "c": b"3", "d": b"4"}
    root, elsewhere = tmp_path / "pictures", tmp_path / "elsewhere"
    write_files(root, files)
    (root / "out").rename(elsewhere)
    (elsewhere / "b.xmp").write_bytes(b"<x/>")
    (root / "out").symlink_to(elsewhere)
    (root / "alias").symlink_to("in")
    run = catalogued(tmp_path, files | {"alias/a.jpg": b"1"})
    clusters = load(run)
    if moment == "between":
        (root / "out").unlink()
        elsewhere.rename(root / "out")
    plan = plan_trash(clusters, ["out/b.jpg"])
    if moment == "between":
        assert [doomed.path for doomed in plan.files] == ["out/b.jpg", "out/b.xmp"]
        (root / "out").rename(elsewhere)
        (root / "out").symlink_to(elsewhere)
        move_to_trash(clusters, plan)
    assert ("out/b.jpg", "it lies outside the library, behind a link") in plan.refused
    assert plan.done == []
    assert {path.name for path in elsewhere.iterdir()} == {"b.jpg", "b.xmp"}
    assert move_to_trash(clusters, plan_trash(clusters, ["alias/a.jpg"])).done == ["alias/a.jpg"]  # leads to the inside


def test_what_is_in_the_trash_is_listed_no_more_until_it_is_back(tmp_path, run, bin_):
    def seen():
        clusters = load(run)
        with Catalog(catalog_path(run)) as catalog:
            same = [one.rows for one in find_same(clusters, catalog) if one.level == "identical"]
        groups, n_nowhere = listed(clusters, None, 1)
        info = json.loads(CliRunner().invoke(main, ["info", str(run), "--json"]).stdout)["trashed"]
        plans = [export(clusters, tmp_path / "out", mode=mode, dry_run=True) for mode in ("copy", "xmp")]
        assert [plan.skipped for plan in plans] == [[], []]
        return same, sum(group["size"] for group in groups) + n_nowhere, info, *(len(plan.operations) for plan in plans)

    before = seen()
    assert before == ([(0, 1), (2, 3, 4)], 5, 0, 5, 4)
    command(run, "a.jpg", "only.jpg", "--yes")
    assert seen() == ([(3, 4)], 3, 2, 3, 2)
    said = CliRunner().invoke(main, ["info", str(run)]).stdout
    assert "in the trash: 2 files" in said
    assert command(run, "--restore", "--yes").exit_code == 0
    assert seen() == before


def everything(root):
    """Content, time and mode of all files, links with where they lead."""
    return {
        str(path): (
            path.readlink() if path.is_symlink() else path.read_bytes(),
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
        )
        for path in root.rglob("*")
        if not path.is_dir()
    }


def test_the_trash_gives_back_all_as_it_was(tmp_path, live, bin_):
    root = tmp_path / "pictures"
    (root / "other.xmp").chmod(0o600)
    before = everything(root)
    assert command(live, "live.HEIC", "live.jpg", "other.jpg", "copy/live.HEIC", "--yes").exit_code == 0
    gone = everything(root)
    said = command(live, "--restore", "--dry-run")
    assert said.exit_code == 0
    assert said.stdout.splitlines()[-1] == "10 files (47 bytes) can be brought back; nothing was moved."
    assert command(live, "--restore", input="n\n").exit_code == 1
    assert everything(root) == gone
    assert command(live, "--restore", "other.jpg", "--yes").stdout == "2 files brought back from the trash.\n"
    assert everything(root) == gone | {name: what for name, what in before.items() if "other" in name}
    assert "other.jpg" not in command(live, "--restore", "--dry-run").stdout
    assert command(live, "--restore", input="y\n").exit_code == 0
    assert everything(root) == before
    assert list((bin_ / "files").iterdir()) == list((bin_ / "info").iterdir()) == []
    said = command(live, "--restore", "--yes")
    assert (said.exit_code, said.stdout) == (1, "0 files brought back from the trash.\n")
    assert command(live, "other.jpg", "--yes").exit_code == 0  # and once more
    assert command(live, "--restore", "--yes").exit_code == 0
    assert everything(root) == before


def test_restoring_replaces_nothing_and_makes_folders_again(tmp_path, run, bin_):
    clusters, root = load(run), tmp_path / "pictures"
    command(run, "a.jpg", "b/copy.jpg", "link.jpg", "--yes")
    (root / "b").rmdir()
    (root / "a.jpg").write_bytes(b"mine")
    said = command(run, "a.jpg", "--restore", "--yes")
    assert (said.exit_code, (root / "a.jpg").read_bytes()) == (1, b"mine")
    assert "a file of that name is there, and is not replaced" in said.stdout
    plan = plan_restore(clusters)
    assert {found.path for found in plan.files} == {"b/copy.jpg", "link.jpg"}
    (root / "link.jpg").write_bytes(b"mine")  # while a person thinks it over
    result = restore(clusters, plan)
    assert (result.done, [path for path, _ in result.refused]) == (["b/copy.jpg"], ["link.jpg"])
    assert (root / "link.jpg").read_bytes() == b"mine"
    assert (root / "b/copy.jpg").read_bytes() == b"same"
    assert (bin_ / "files/link.jpg").is_symlink()


def test_of_many_files_of_one_name_that_with_the_content_comes_back(tmp_path, run, bin_):
    import send2trash

    root = tmp_path / "pictures"
    command(run, "a.jpg", "--yes")
    (root / "a.jpg").write_bytes(b"later")
    send2trash.send2trash(str(root / "a.jpg"))  # another program
    assert command(run, "--restore", "--yes").exit_code == 0
    assert (root / "a.jpg").read_bytes() == b"same"
    command(run, "only.jpg", "--yes")
    (bin_ / "files/only.jpg").write_bytes(b"forged")
    assert plan_restore(load(run)).refused == [("only.jpg", "the trash has another file of that name")]
    (bin_ / "files/only.jpg").unlink()
    (bin_ / "files/only.jpg").symlink_to(tmp_path / "home")
    assert plan_restore(load(run)).refused == [("only.jpg", "the trash has another file of that name")]
    for path in (bin_ / "info").iterdir():
        path.unlink()
    assert plan_restore(load(run)).refused == [("only.jpg", "it is not in the trash any more")]


def test_a_forged_log_brings_nothing_out_of_the_library(tmp_path, run, bin_):
    import send2trash

    (tmp_path / "secret").write_bytes(b"secret")
    send2trash.send2trash(str(tmp_path / "secret"))
    for path in ("../secret", "/etc/cron.d/x", str(tmp_path / "secret"), "a\0"):
        note(trash_log(run), "trash", path, file=path, id=content_id(b"secret"), link_to=None, pictures=5)
    plan = plan_restore(load(run))
    assert plan.files == []
    assert {reason for _, reason in plan.refused} == {"it lies outside the library"}
    with pytest.raises(DataError, match="was not moved to the trash by selfsort"):
        plan_restore(load(run), ["b/copy.jpg"])


def test_a_trash_on_another_disk_has_its_own_notes(tmp_path, run, bin_, monkeypatch):
    """One beside the mount point, whose notes are relative to it; moving out of it copies."""
    from send2trash import plat_other

    root = tmp_path / "pictures"
    monkeypatch.setattr(
        plat_other,
        "get_dev",
        lambda path: 1 if b"pictures" in os.fsencode(path) or path == os.fsencode(tmp_path) else 2,
    )
    monkeypatch.setattr(os.path, "ismount", lambda path: os.fspath(path) in (os.fsencode(tmp_path), str(tmp_path), "/"))
    monkeypatch.setattr(type(root), "is_mount", lambda path: str(path) in (str(tmp_path), "/"))
    before = everything(root)
    assert command(run, "a.jpg", "b/copy.jpg", "--yes").exit_code == 0
    info = (tmp_path / f".Trash-{os.getuid()}/info/copy.jpg.trashinfo").read_text()
    assert "Path=pictures/b/copy.jpg" in info
    monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link")))
    assert command(run, "--restore", "--yes").exit_code == 0
    assert everything(root) == before


def test_one_caller_at_a_time_changes_a_library(tmp_path, run, bin_):
    command(run, "a.jpg", "--yes")
    with alone_in(tmp_path / "pictures"):
        for words in (("only.jpg",), ("--restore",)):
            said = command(run, *words, "--yes")
            assert (said.exit_code, "Another selfsort is at work in" in said.stderr) == (1, True)
            assert command(run, *words, "--dry-run").exit_code == 0
    assert command(run, "--restore", "--yes").exit_code == 0


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_where_programs_cannot_read_the_trash_it_is_said_how_to_do_it_by_hand(run, bin_, monkeypatch, system):
    command(run, "a.jpg", "--yes")
    monkeypatch.setattr("selfsort.photos.restore.sys.platform", system)
    with pytest.raises(DataError, match=r"only you can take files out of the trash: choose"):
        plan_restore(load(run))
