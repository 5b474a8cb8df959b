import errno
import os

import pytest

from exports import catalogued, correct, files, folder_of_run, hide, originals  # noqa: F401
from selfsort.errors import DataError
from selfsort.photos import place as place_module
from selfsort.photos import writer as writer_module
from selfsort.photos.belonging import sidecar_of
from selfsort.photos.export import JOURNAL, export, undo
from selfsort.photos.xmp import Tags, keywords, merge
from selfsort.sources import open_source
from test_export import FILES, make_archive, make_run, posix, targets, tree
from test_undo import Killed
from test_xmp import LIGHTROOM

IN_GROUPS = ["a/one.jpg", "b/ONE.jpg", "b/one.jpg", "emoji 🌨 雪.png", "no suffix"]


def subjects(path):
    return keywords(path.read_bytes())["subject"]


def beside(folder, **options):
    return export(folder, None, mode="xmp", **options)


def test_a_folder_of_sidecars(tmp_path, folder):
    correct(folder, ("rename", [0], [], "Snow"))
    before = tree(tmp_path)
    planned = export(folder, tmp_path / "out", mode="xmp", dry_run=True)
    assert tree(tmp_path) == before
    result = export(folder, tmp_path / "out", mode="xmp")
    assert sorted(result.done) == targets(tmp_path / "out") == sorted(f"{name}.xmp" for name in IN_GROUPS)
    assert [operation.target for operation in planned.operations] == result.done
    said = keywords((tmp_path / "out/a/one.jpg.xmp").read_bytes())
    assert said["subject"] == ["Snow"]
    assert said["hierarchicalSubject"] == ["selfsort|photo|Snow"]
    assert said["TagsList"] == ["selfsort/photo/Snow"]
    assert subjects(tmp_path / "out/no suffix.xmp") == ["group-001"]
    back = undo(tmp_path / "out")
    assert sorted(back.removed) == sorted(result.done)
    assert tree(tmp_path) == before


def test_sidecars_beside_originals_are_merged_and_restored_to_the_byte(tmp_path, folder):
    pictures = tmp_path / "pictures"
    (pictures / "a/one.jpg.xmp").write_text(LIGHTROOM)
    os.utime(pictures / "a/one.jpg.xmp", ns=(10**18, 10**18))
    (pictures / "a/one.jpg.xmp").chmod(0o640)
    (pictures / "b/one.jpg.xmp").write_bytes(b"<broken")
    before = files(tmp_path)
    result = beside(folder)
    assert len(result.done) == 4
    assert [path for path, reason in result.skipped if "damaged" in reason] == ["b/one.jpg"]
    assert (pictures / "b/one.jpg.xmp").read_bytes() == b"<broken"
    assert subjects(pictures / "a/one.jpg.xmp") == ["Italy", "Rome", "group-000"]
    assert (pictures / "a/one.jpg.xmp").stat().st_mode & 0o777 == 0o640
    would, back = undo(pictures, dry_run=True), undo(pictures)
    assert back.restored == would.restored == ["a/one.jpg.xmp"]
    assert len(back.removed) == len(would.removed) == 3
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["one.jpg.XMP", "ONE.JPG.XMP", "one.JPG.Xmp", "One.xmp"])
def test_a_sidecar_is_found_whatever_its_case(tmp_path, folder, name):
    names = "stem" if name == "One.xmp" else "full"
    theirs = tmp_path / "pictures/a" / name
    theirs.write_text(LIGHTROOM)
    before = files(tmp_path)
    result = beside(folder, sidecar_names=names)
    assert f"a/{name}" in result.done
    assert [path.name for path in (tmp_path / "pictures/a").iterdir() if path.suffix.lower() == ".xmp"] == [name]
    assert subjects(theirs) == ["Italy", "Rome", "group-000"]
    assert beside(folder, sidecar_names=names).done == []
    assert undo(tmp_path / "pictures").restored == [f"a/{name}"]
    assert files(tmp_path) == before
    export(folder, tmp_path / "out", mode="xmp", sidecar_names=names)
    begun = sidecar_of("a/one.jpg", names)
    assert subjects(tmp_path / "out" / begun) == ["Italy", "Rome", "group-000"]


@posix
def test_the_sidecar_of_another_picture_is_not_taken(tmp_path, folder):
    """b/one.jpg and b/ONE.jpg are two pictures; a sidecar in upper case is that of the one with the same letters."""
    (tmp_path / "pictures/b/ONE.jpg.XMP").write_text(LIGHTROOM)
    result = beside(folder)
    assert {"b/ONE.jpg.XMP", "b/one.jpg.xmp"} <= {*result.done}
    assert "Rome" not in subjects(tmp_path / "pictures/b/one.jpg.xmp")
    assert "Rome" in subjects(tmp_path / "pictures/b/ONE.jpg.XMP")


def test_sidecars_are_no_pictures_of_the_next_run(tmp_path, folder):
    found = [item.path for item in open_source(tmp_path / "pictures").items]
    beside(folder)
    assert [item.path for item in open_source(tmp_path / "pictures").items] == found


def test_tags_follow_later_corrections_and_undo_leads_back_to_the_start(tmp_path, folder):
    pictures = tmp_path / "pictures"
    (pictures / "a/one.jpg.xmp").write_text(LIGHTROOM)
    before = files(pictures)
    beside(folder)
    correct(
        folder,
        ("rename", [0], [], "Snow"),
        ("not-this", [], ["b/one.jpg"], None),
        ("move", [1], ["b/ONE.jpg"], None),
    )
    hide(folder, "no suffix")
    result = beside(folder)
    assert sorted(result.done) == ["a/one.jpg.xmp", "b/ONE.jpg.xmp", "b/one.jpg.xmp", "no suffix.xmp"]
    assert result.already_done == ["emoji 🌨 雪.png.xmp"]
    assert subjects(pictures / "a/one.jpg.xmp") == ["Italy", "Rome", "Snow"]
    assert subjects(pictures / "b/ONE.jpg.xmp") == ["group-001"]
    assert keywords((pictures / "b/one.jpg.xmp").read_bytes())["hierarchicalSubject"] == []
    assert subjects(pictures / "no suffix.xmp") == []
    assert beside(folder).done == []
    assert beside(folder, hidden=True).done == ["no suffix.xmp"]
    back = undo(pictures)
    assert (len(back.removed), back.restored, back.kept) == (4, ["a/one.jpg.xmp"], [])
    assert files(pictures) == before


def test_undo_keeps_a_sidecar_that_another_program_changed(tmp_path, folder):
    pictures = tmp_path / "pictures"
    (pictures / "a/one.jpg.xmp").write_text(LIGHTROOM)
    beside(folder)
    (pictures / "a/one.jpg.xmp").write_text(LIGHTROOM.replace("Rome", "Turin"))
    (pictures / "b/one.jpg.xmp").unlink()
    (pictures / "b/one.jpg.xmp").symlink_to(pictures / "a/one.jpg.xmp")
    back = undo(pictures)
    assert dict(back.kept) == {"a/one.jpg.xmp": "it was changed since", "b/one.jpg.xmp": "it was replaced since"}
    assert "Turin" in (pictures / "a/one.jpg.xmp").read_text()
    assert (back.restored, len(back.removed)) == ([], 3)


def test_a_change_between_two_exports_is_what_undo_restores(tmp_path, folder):
    path = tmp_path / "pictures/a/one.jpg.xmp"
    beside(folder)
    edited = merge(path.read_bytes(), Tags(("group-000",), (("photo", "group-000"),))).replace(
        b"</rdf:RDF>", b" </rdf:RDF>"
    )
    path.write_bytes(edited)
    correct(folder, ("rename", [0], [], "Snow"))
    beside(folder)
    assert subjects(path) == ["Snow"]
    undo(tmp_path / "pictures")
    assert path.read_bytes() == edited


@pytest.mark.parametrize("crash", ["write", "move_new", "exchange", "write_all"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("then", ["undo", "continue"])
def test_a_crash_loses_no_sidecar(tmp_path, folder, monkeypatch, crash, moment, then):
    pictures = tmp_path / "pictures"
    for name in IN_GROUPS[:3]:
        (pictures / f"{name}.xmp").write_text(LIGHTROOM)
    before = files(pictures)
    beside(folder)  # a crash of the second export
    correct(folder, ("rename", [0], [], "Snow"), ("rename", [1], [], "Ice"))
    (pictures / "no suffix.xmp").unlink()
    where = {"move_new": place_module, "write_all": writer_module}.get(crash, place_module.Place)
    step, calls = getattr(where, crash), []

    def crash_at_the_end(*args):
        calls.append(args)
        last = {"write_all": 4, "move_new": 1}.get(crash, 2)
        if len(calls) == last and moment == "before":
            raise Killed
        value = step(*args)
        if len(calls) == last:
            raise Killed
        return value

    with monkeypatch.context() as patch:
        patch.setattr(where, crash, crash_at_the_end)
        with pytest.raises(Killed):
            beside(folder)
    if then == "continue":
        beside(folder)
        assert subjects(pictures / "a/one.jpg.xmp") == ["Italy", "Rome", "Snow"]
        assert subjects(pictures / "no suffix.xmp") == ["Ice"]
    else:
        correct(folder, ("rename", [0], [], "Hill"))
        with pytest.raises(DataError, match=r"before they were corrected.*Undo it first"):
            beside(folder)
    back = undo(pictures)
    assert (back.kept, back.finished) == ([], True)
    assert files(pictures) == before


def test_an_interrupted_export_is_continued(tmp_path, folder):
    def die(stage, done, total):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        beside(folder, progress=die)
    result = beside(folder)
    assert (len(result.already_done), len(result.done)) == (2, 3)


def test_names_without_their_suffix_share_a_sidecar(tmp_path):
    files = {"x/img.jpg": b"1", "x/img.png": b"2", "y": b"3", "img.cr2.jpg": b"4", ".jpg": b"5"}
    folder = catalogued(tmp_path, files)
    result = export(folder, tmp_path / "out", mode="xmp", sidecar_names="stem")
    assert result.done == ["x/img.xmp", "y.xmp", "img.cr2.xmp"]
    assert subjects(tmp_path / "out/x/img.xmp") == ["group-000"]
    correct(folder, ("move", [1], ["x/img.png"], None))
    export(folder, tmp_path / "two", mode="xmp", sidecar_names="stem")
    assert subjects(tmp_path / "two/x/img.xmp") == ["group-000", "group-001"]
    assert sidecar_of("../a//b", "full") == "_/a/_/b.xmp"
    with pytest.raises(DataError, match="sidecar_names"):
        export(folder, tmp_path / "three", mode="xmp", sidecar_names="other")


ODD = {
    "new\nline.jpg": b"1",
    "quote\"'`$(x).jpg": b"2",
    "-rf": b"3",
    "🌨 雪/🌨.png": b"4",
    os.fsdecode(b"caf\xe9/caf\xe9.jpg"): b"5",
    "cafe\u0301.jpg": b"6",
    "x" * 251 + ".jpg": b"7",
    "y" * 247 + ".jpg": b"8",
    "dots...": b"9",
    "dots../ends with space ": b"10",
    "tab\t\x7f\x1b[31m.jpg": b"11",
    "%41&amp;<b>;|?*:.jpg": b"12",
    "back\\slash.jpg": b"13",
    ".xmp.jpg": b"14",
    "z": b"15",
}


@posix
@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink", "csv", "parquet", "json", "fiftyone", "xmp", "beside"])
def test_odd_paths(tmp_path, mode):
    folder = catalogued(tmp_path, ODD)
    before = files(tmp_path)
    place = tmp_path / ("pictures" if mode == "beside" else "out")
    result = export(folder, None if mode == "beside" else place, mode="xmp" if mode == "beside" else mode)
    reasons = [reason for _, reason in result.skipped]
    if mode in ("xmp", "beside"):
        assert reasons == ["its sidecar cannot be read: File name too long"]
        expected = [f"{name}.xmp" for name in list(ODD)[:-1] if len(os.fsencode(name)) < 252]
        assert sorted(result.done) == sorted(expected)
    elif mode == "fiftyone":
        assert reasons == ["its path is no UTF-8, which FiftyOne cannot hold"]
    else:
        assert reasons == []
    if mode in ("copy", "hardlink", "symlink"):
        assert sorted(
            path.read_bytes() for path in place.rglob("*") if path.name != JOURNAL and path.is_file()
        ) == sorted(ODD.values())
    back = undo(place)
    assert (len(back.removed), back.kept, back.added) == (len(result.done), [], [])
    assert files(tmp_path) == before


def test_a_folder_of_sidecars_begins_with_what_is_beside_the_originals(tmp_path, folder):
    (tmp_path / "pictures/a/one.jpg.xmp").write_text(LIGHTROOM)
    (tmp_path / "pictures/no suffix.xmp").write_text("broken")
    before = originals(tmp_path / "pictures")
    result = export(folder, tmp_path / "out", mode="xmp")
    assert subjects(tmp_path / "out/a/one.jpg.xmp") == ["Italy", "Rome", "group-000"]
    assert [path for path, reason in result.skipped if "damaged" in reason] == ["no suffix"]
    assert originals(tmp_path / "pictures") == before


@posix
def test_what_is_in_the_way_stays(tmp_path, folder):
    pictures = tmp_path / "pictures"
    (pictures / "a/one.jpg.xmp").mkdir()
    (pictures / "elsewhere.xmp").write_text(LIGHTROOM)
    (pictures / "b/ONE.jpg.xmp").symlink_to(pictures / "elsewhere.xmp")
    (pictures / "b/one.jpg.xmp").write_text(LIGHTROOM)
    (pictures / "b/one.jpg.xmp").chmod(0o444)
    (pictures / "no suffix").write_bytes(b"evil")
    before = files(pictures)
    result = beside(folder)
    assert dict(result.skipped) == {
        "a/broken.jpg": "not readable: empty file",
        "a/one.jpg": "one.jpg.xmp is there and is no file",
        "b/ONE.jpg": "ONE.jpg.xmp is there and is no file",
        "b/one.jpg": "cannot be written: it is write-protected",
        "no suffix": "the original has changed since the run",
    }
    assert result.done == ["emoji 🌨 雪.png.xmp"]
    assert undo(pictures).kept == []
    assert files(pictures) == before
    (pictures / "no suffix").write_bytes(FILES["no suffix"])


@posix
def test_sidecars_do_not_go_through_links(tmp_path, folder):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b").symlink_to(tmp_path / "pictures/b")
    result = export(folder, tmp_path / "out", mode="xmp")
    assert [path for path, reason in result.skipped if "a link or a file" in reason] == ["b/ONE.jpg", "b/one.jpg"]
    assert not list((tmp_path / "pictures/b").glob("*.xmp"))


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_have_sidecars_in_a_folder(tmp_path, kind):
    make_archive(tmp_path / "a.bin", kind)
    run = make_run(tmp_path / "a.bin", source=kind)
    assert len(export(run, tmp_path / "out", mode="xmp").done) == 5
    with pytest.raises(DataError, match="beside those that are files"):
        export(run, None, mode="xmp")


def test_places_for_sidecars(tmp_path, folder):
    with pytest.raises(DataError, match="--beside-originals"):
        export(folder, tmp_path / "pictures", mode="xmp")
    with pytest.raises(DataError, match="inside the run folder"):
        export(folder, folder / "new", mode="xmp")
    with pytest.raises(DataError, match="Only xmp sidecars"):
        export(folder, None, mode="copy")
    (tmp_path / "pictures").rename(tmp_path / "away")
    with pytest.raises(DataError, match="not there now"):
        beside(folder)
    (tmp_path / "away").rename(tmp_path / "pictures")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes").write_text("mine")
    assert export(folder, tmp_path / "out", mode="xmp").done
    with pytest.raises(DataError, match="another export"):
        export(folder, tmp_path / "out", mode="csv")


def read_only(monkeypatch, place):
    """Let nothing be written below a folder, also for those who may do everything."""
    opened, made = os.open, os.mkdir
    folders = [path.stat() for path in (place, *place.rglob("*")) if path.is_dir()]

    def refuse(step):
        def guarded(path, *args, dir_fd=None, **options):
            writes = step is made or (args and args[0] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            below = dir_fd is not None and any(os.path.samestat(os.fstat(dir_fd), folder) for folder in folders)
            if writes and (below or str(path).startswith(str(place))):
                raise OSError(errno.EROFS, "Read-only file system", str(path))
            return step(path, *args, dir_fd=dir_fd, **options)

        return guarded

    monkeypatch.setattr(os, "open", refuse(opened))
    monkeypatch.setattr(os, "mkdir", refuse(made))


def test_a_library_that_may_not_be_written_to(tmp_path, folder, monkeypatch):
    before = tree(tmp_path / "pictures")
    with monkeypatch.context() as patch:
        read_only(patch, tmp_path / "pictures")
        with pytest.raises(DataError) as caught:
            beside(folder)
        assert str(caught.value) == f"Nothing can be written in {tmp_path / 'pictures'}: Read-only file system."
        for mode in ("copy", "symlink", "csv", "json", "fiftyone", "xmp"):
            assert export(folder, tmp_path / mode, mode=mode).done
    assert tree(tmp_path / "pictures") == before


@pytest.mark.parametrize("mode", ["copy", "symlink", "csv", "parquet", "xmp"])
@pytest.mark.parametrize("after", range(1, 12, 2))
def test_a_disk_that_fills_up_at_any_moment(tmp_path, folder, monkeypatch, mode, after):
    """No half files, and once there is room the same command goes on where it stopped."""
    n_writes, wrote = 0, writer_module.write_all

    def fill_up(file, data):
        nonlocal n_writes
        n_writes += 1
        if n_writes > after:
            os.write(file, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        wrote(file, data)

    (tmp_path / "pictures/a/one.jpg.xmp").write_text(LIGHTROOM)
    before = tree(tmp_path)
    export(folder, tmp_path / "out", mode=mode)
    lines = (tmp_path / "out" / JOURNAL).read_bytes().splitlines()
    n_steps = sum(b'"do": "done"' not in line for line in lines) + 1  # all that is done is said at once
    undo(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "write_all", fill_up)
        if after < n_steps:
            with pytest.raises(DataError, match=r"o space left|disk is full"):
                export(folder, tmp_path / "out", mode=mode)
        else:
            export(folder, tmp_path / "out", mode=mode)
    for path in targets(tmp_path / "out"):
        assert (tmp_path / "out" / path).stat().st_size > 0
        assert not path.endswith(".tmp")
    result = export(folder, tmp_path / "out", mode=mode)
    assert len(result.done) + len(result.already_done) == {"csv": 1, "parquet": 1, "xmp": 5}.get(mode, 6)
    assert (undo(tmp_path / "out").kept, tree(tmp_path)) == ([], before)


def test_the_journal_says_which_groups_were_exported(tmp_path, folder):
    def die(stage, done, total):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        export(folder, tmp_path / "out", mode="copy", progress=die)
    correct(folder, ("move", [1], ["a/one.jpg"], None))
    with pytest.raises(DataError, match=r"before they were corrected.*Undo it first"):
        export(folder, tmp_path / "out", mode="copy")
    with pytest.raises(DataError, match="another export"):
        export(folder, tmp_path / "out", mode="copy", level=0)
    undo(tmp_path / "out")
    export(folder, tmp_path / "out", mode="copy")
    assert (tmp_path / "out/group-001/one.jpg").read_bytes() == b"one"
    assert not (tmp_path / "out" / JOURNAL).read_bytes().count(b'"before"')


@pytest.mark.parametrize("lonely", ["x/img.jpg", "x/img.png", "both"])
def test_a_shared_sidecar_is_made_if_any_of_its_pictures_is_in_a_group(tmp_path, lonely):
    files = {"x/img.jpg": b"1", "x/img.png": b"2", "y": b"3", "z": b"4", "last": b"5"}
    folder = catalogued(tmp_path, files)
    for path in ("x/img.jpg", "x/img.png") if lonely == "both" else (lonely,):
        correct(folder, ("not-this", [], [path], None))
    result = export(folder, tmp_path / "out", mode="xmp", sidecar_names="stem")
    assert ("x/img.xmp" in result.done) == (lonely != "both")
    if lonely != "both":
        assert subjects(tmp_path / "out/x/img.xmp") == ["group-000"]
    undo(tmp_path / "out")
    (tmp_path / "out/x").mkdir(parents=True)  # what has a sidecar from before is looked at in any case
    (tmp_path / "out/x/img.xmp").write_bytes(merge(None, Tags(("old",), (("old",),))))
    assert "x/img.xmp" in export(folder, tmp_path / "out", mode="xmp", sidecar_names="stem").done
    assert subjects(tmp_path / "out/x/img.xmp") == ([] if lonely == "both" else ["group-000"])
