import csv
import io
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest

from selfsort.clusters import Clusters, items_table
from selfsort.errors import DataError
from selfsort.files import content_id
from selfsort.photos import export as export_module
from selfsort.photos.export import JOURNAL, export, undo
from selfsort.photos.export_plan import plan_folders
from selfsort.photos.outcome import Outcome

posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX file system")
FILES = {
    "a/one.jpg": b"one",
    "b/ONE.jpg": b"two",
    "b/one.jpg": b"three",
    "emoji 🌨 雪.png": b"four" * 300_000,
    "no suffix": b"five",
    "a/broken.jpg": b"",
    "nowhere.jpg": b"six",
}


def write_files(root, files=FILES):
    for i, (name, content) in enumerate(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(10**18 + i, 10**18 + i * 10**9 + 7))


def make_run(root, files=FILES, source="folder", run_folder=None, names=None, status=None):
    rows = [
        {
            "id": content_id(content) if content else "",
            "path": os.fsencode(name).decode("utf-8", "backslashreplace"),
            "path_bytes": os.fsencode(name),
            "size": len(content),
            "width": 1,
            "height": 1,
            "format": "JPEG",
            "status": status[row] if status else "ok" if content else "empty file",
        }
        for row, (name, content) in enumerate(files.items())
    ]
    n = len(rows)
    fine = np.where([row["status"] == "ok" for row in rows], np.arange(n) // 3, -1)
    fine[-1] = -1
    levels = np.stack([np.minimum(fine, 0), fine], axis=1).astype(np.int32)
    groups = [
        {"level": 1, "group": g, "size": 3, "parent": 0, "confidence": 1.0, "prototypes": [3 * g], "odd": []}
        for g in range(fine.max() + 1)
    ]
    for group, name in zip(groups, names or [], strict=False):
        group["name"] = name
    run = {"schema": 2, "level": 1, "root": str(root), "source": source, "fingerprint": "f1"}
    clusters = Clusters(
        run, items_table(rows), levels, np.full(n, 0.75, np.float32), np.full((n, 1), -1, np.int32), groups
    )
    if run_folder:
        clusters.save(run_folder)
        return Clusters.load(run_folder)
    return clusters


@pytest.fixture
def library(tmp_path):
    write_files(tmp_path / "pictures")
    return make_run(tmp_path / "pictures", run_folder=tmp_path / "run")


def tree(folder):
    """Everything below a folder: kind, content, time and number of links."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (content, info.st_mtime_ns, info.st_mode, info.st_nlink)
    return found


def targets(folder):
    files = (path for path in folder.rglob("*") if not path.is_dir() and path.name != JOURNAL)
    return sorted(path.relative_to(folder).as_posix() for path in files)


PLAN = [
    "group-000/ONE (2).jpg",
    "group-000/one (3).jpg",
    "group-000/one.jpg",
    "group-001/emoji 🌨 雪.png",
    "group-001/no suffix",
    "ungrouped/nowhere.jpg",
]


@posix
@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink", "csv"])
def test_export_and_undo_restore_the_exact_state(tmp_path, library, mode):
    before = tree(tmp_path)
    seen = []
    result = export(library, tmp_path / "new" / "out", mode=mode, progress=lambda *step: seen.append(step))
    assert result.skipped == [("a/broken.jpg", "not readable: empty file")]
    expected = ["groups.csv"] if mode == "csv" else PLAN
    assert targets(tmp_path / "new/out") == sorted(result.done) == expected
    assert seen[-1] == ("export", len(expected), len(expected))
    if mode != "csv":
        for operation in result.operations:
            made = tmp_path / "new/out" / operation.target
            assert made.read_bytes() == FILES[operation.source]
            assert made.stat().st_mtime_ns == (tmp_path / "pictures" / operation.source).stat().st_mtime_ns
    back = undo(tmp_path / "new" / "out")
    assert sorted(back.removed) == expected
    assert (back.kept, back.added, back.finished) == ([], [], True)
    assert tree(tmp_path) == before
    with pytest.raises(DataError, match="undone already"):
        undo(tmp_path / "new" / "out")


def test_a_destination_that_was_there_empty_stays(tmp_path, library):
    (tmp_path / "out").mkdir()
    export(library, tmp_path / "out", mode="copy")
    undo(tmp_path / "out" / JOURNAL)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("mode", ["copy", "csv"])
def test_dry_runs_write_nothing_and_say_the_same(tmp_path, library, mode):
    before = tree(tmp_path)
    planned = export(library, tmp_path / "out", mode=mode, dry_run=True)
    assert tree(tmp_path) == before
    made = export(library, tmp_path / "out", mode=mode)
    assert planned.operations == made.operations
    assert planned.skipped == made.skipped
    after = tree(tmp_path)
    would = undo(tmp_path / "out", dry_run=True)
    assert tree(tmp_path) == after
    did = undo(tmp_path / "out")
    assert (would.removed, would.folders_removed) == (did.removed, did.folders_removed)


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink"])
def test_a_file_in_the_way_is_never_replaced(tmp_path, library, mode):
    def put_in_the_way(stage, done, total):
        if done == 3:
            (tmp_path / "out/group-001").mkdir()
            (tmp_path / "out/group-001/emoji 🌨 雪.png").write_bytes(b"mine")

    result = export(library, tmp_path / "out", mode=mode, progress=put_in_the_way)
    assert (tmp_path / "out/group-001/emoji 🌨 雪.png").read_bytes() == b"mine"
    assert ("emoji 🌨 雪.png", "cannot be written: something of that name is there already, and it is not replaced") in (
        result.skipped
    )
    back = undo(tmp_path / "out")
    assert targets(tmp_path / "out") == ["group-001/emoji 🌨 雪.png"]
    assert len(back.removed) == 5


def test_changed_and_missing_originals_are_reported(tmp_path, library):
    (tmp_path / "pictures/a/one.jpg").write_bytes(b"eno")  # as long as before
    (tmp_path / "pictures/no suffix").write_bytes(b"longer")
    (tmp_path / "pictures/nowhere.jpg").unlink()
    for mode in ("copy", "symlink"):
        result = export(library, tmp_path / mode, mode=mode)
        assert dict(result.skipped) == {
            "a/broken.jpg": "not readable: empty file",
            "a/one.jpg": "the original has changed since the run",
            "no suffix": "the original has changed since the run",
            "nowhere.jpg": "the original cannot be read: No such file or directory",
        }
        assert len(targets(tmp_path / mode)) == 3


def test_what_belongs_to_a_picture_goes_with_it(tmp_path):
    files = {
        "a/live.HEIC": b"still",
        "a/live.MOV": b"film",
        "a/live.heic.txt": b"what it shows",
        "b/live.heic": b"other still",
        "b/LIVE.mov": b"other film",
        "b/broken.jpg": b"",
        "b/broken.mov": b"a film alone",
        "c/notes.txt": b"notes",
        ".mov": b"no name",
    }
    write_files(tmp_path / "pictures", files)
    pictures = [name.lower().endswith("heic") for name in files]
    status = ["ok" if is_picture else "not an image (video)" for is_picture in pictures]
    status[5] = "empty file"
    made = make_run(tmp_path / "pictures", files, status=status)
    made.levels[:] = np.where(pictures, 0, -1)[:, None]
    result = export(made, tmp_path / "out", mode="copy")
    beside = {"group-000/live" + name for name in (".HEIC", ".MOV", ".HEIC.txt", " (2).heic", " (2).mov")}
    assert set(targets(tmp_path / "out")) == beside
    assert (tmp_path / "out/group-000/live (2).mov").read_bytes() == b"other film"
    assert [path for path, _ in result.skipped] == ["b/broken.jpg", "b/broken.mov", "c/notes.txt", ".mov"]
    undo(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_belongs_to_a_hidden_picture_and_to_another_goes_with_the_other(tmp_path):
    files = {"live.heic": b"still", "live.jpg": b"the same as JPEG", "live.mov": b"film"}
    made = make_run(tmp_path, files, status=["ok", "ok", "not an image"])
    none, labels = np.zeros(3, bool), np.array([0, 0, -1])
    planned = Outcome(1, labels, labels, none, none, np.array([True, False, False]), {}, {0: "all"})
    targets = [operation.target for operation in plan_folders(made, planned, hidden=False, reserved=())]
    assert targets == ["all/live.jpg", "all/live.mov"]


@posix
def test_names_that_are_not_text_keep_their_bytes(tmp_path):
    files = {os.fsdecode(b"caf\xe9.jpg"): b"1", "=1+1.jpg": b"2", 'quote"\n.jpg': b"3", "x" * 251 + ".jpg": b"4"}
    files |= {
        "sub/" + "x" * 251 + ".jpg": b"5",
        "CON": b"6",
        "cafe\u0301.jpg": b"7",
        "é/caf\u00e9.jpg": b"8",
        "z": b"9",
    }
    write_files(tmp_path / "pictures", files)
    run = make_run(tmp_path / "pictures", files)
    run.levels[:] = 0
    before = tree(tmp_path)
    result = export(run, tmp_path / "out", mode="copy")
    assert len(result.done) == 9
    names = {os.fsencode(path.name) for path in (tmp_path / "out/group-000").iterdir()}
    assert {b"caf\xe9.jpg", b"=1+1.jpg", b'quote"\n.jpg', b"CON", "cafe\u0301.jpg".encode()} <= names
    assert b"x" * 247 + b" (2).jpg" in names
    assert "café (2).jpg".encode() in names
    undo(tmp_path / "out")
    export(run, tmp_path / "table", mode="csv")
    rows = list(csv.reader(io.StringIO(os.fsdecode((tmp_path / "table/groups.csv").read_bytes()), newline="")))
    assert [row[0].removeprefix("./") for row in rows[1:]] == list(files)
    assert "./=1+1.jpg" in [row[0] for row in rows]  # so that no spreadsheet takes it for a formula
    first = dict(zip(rows[0], rows[1], strict=True))
    assert [first[name] for name in ("group", "level_0", "level_1", "confidence")] == ["0", "0", "0", "0.75"]
    undo(tmp_path / "table")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("own", "folders"),
    [([], {"Screenshots · “error”", "group-001"}), (["Mine", "Yours"], {"Mine", "Yours"})],
)
def test_folders_have_suggested_names(tmp_path, own, folders):
    write_files(tmp_path / "pictures")
    clusters = make_run(tmp_path / "pictures", names=own)
    for group, name in zip(clusters.groups, ["Screenshots · “error”", ""], strict=True):
        group["suggested"] = {"name": name}
    plan = export(clusters, tmp_path / "out", mode="copy", dry_run=True).operations
    assert {operation.target.split("/")[0] for operation in plan if operation.group >= 0} == folders


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["Beach · 2026", "beach · 2026"], ["Beach · 2026", "beach · 2026 (2)"]),
        (["../../etc", "a/b\\c:d?"], ["_.._etc", "a_b_c_d_"]),
        (["con", "LPT1.txt"], ["_con", "_LPT1.txt"]),
        (["ends. . ", "\x00\x1f\u202e"], ["ends", "___"]),
        (["ungrouped", "Group-000"], ["ungrouped (2)", "Group-000"]),
        (["...", JOURNAL], ["_", f"{JOURNAL} (2)"]),
        (["雪" * 60, "雪" * 61], ["雪" * 26, "雪" * 25 + " (2)"]),
        (["", None], ["group-000", "group-001"]),
    ],
)
def test_folders_have_names_that_every_system_takes(tmp_path, names, folders):
    write_files(tmp_path / "pictures")
    result = export(make_run(tmp_path / "pictures", names=names), tmp_path / "out", mode="copy")
    found = list(dict.fromkeys(operation.target.split("/")[0] for operation in result.operations))
    assert found[:2] == folders
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*folders, "ungrouped", JOURNAL}


def make_archive(path, kind):
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w") as archive:
            for name, content in FILES.items():
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(content), 1_000_000_000
                archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_are_copied_from_and_not_linked_to(tmp_path, kind):
    make_archive(tmp_path / "a.bin", kind)
    run = make_run(tmp_path / "a.bin", source=kind)
    before = tree(tmp_path)
    export(run, tmp_path / "out", mode="copy")
    assert targets(tmp_path / "out") == PLAN
    assert (tmp_path / "out/group-000/one (3).jpg").read_bytes() == b"three"
    if kind == "tar":
        assert (tmp_path / "out/group-000/one.jpg").stat().st_mtime == 1_000_000_000
    assert len(undo(tmp_path / "out").removed) == 6
    assert tree(tmp_path) == before
    for mode in ("hardlink", "symlink"):
        with pytest.raises(DataError, match=rf"inside a {kind} archive.*Use copy"):
            export(run, tmp_path / "out", mode=mode)
    with pytest.raises(DataError, match="made of arrays"):
        export(make_run("", source="array"), tmp_path / "out", mode="copy")


def test_places_that_cannot_be_a_destination(tmp_path, library, monkeypatch):
    for place, message in [
        (tmp_path / "pictures", "not empty"),
        (tmp_path / "pictures/new/deep", "inside the scanned folder"),
        (tmp_path / "run/new", "inside the run folder"),
        (tmp_path / "pictures/nowhere.jpg", "is a file"),
        (tmp_path, "not empty"),
    ]:
        with pytest.raises(DataError, match=message):
            export(library, place, mode="copy")
    export(library, tmp_path / "out", mode="copy")
    with pytest.raises(DataError, match=r"another export.*copy, level 1"):
        export(library, tmp_path / "out", mode="copy", level=0)
    with pytest.raises(DataError, match="another export"):
        export(library, tmp_path / "out", mode="csv")
    with pytest.raises(DataError, match="levels 0 to 1: got level 2"):
        export(library, tmp_path / "other", mode="copy", level=2)
    with pytest.raises(DataError, match="mode must be one of"):
        export(library, tmp_path / "other", mode="move")
    monkeypatch.setattr(export_module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(DataError, match="GB free"):
        export(library, tmp_path / "other", mode="copy")
    assert not (tmp_path / "other").exists()


@posix
def test_a_link_to_the_scanned_folder_is_seen_through(tmp_path, library):
    (tmp_path / "elsewhere").symlink_to(tmp_path / "pictures")
    with pytest.raises(DataError, match="inside the scanned folder"):
        export(library, tmp_path / "elsewhere/new", mode="copy")


def test_a_table_may_lie_among_other_things_but_replaces_none(tmp_path, library):
    before = tree(tmp_path / "run"), targets(tmp_path / "pictures")
    export(library, tmp_path / "pictures", mode="csv")
    assert export(library, tmp_path / "pictures", mode="csv").already_done == ["groups.csv"]
    back = undo(tmp_path / "pictures")
    assert (back.removed, back.added) == (["groups.csv"], [])
    assert (tree(tmp_path / "run"), targets(tmp_path / "pictures")) == before
    (tmp_path / "pictures/groups.csv").write_text("mine")
    with pytest.raises(DataError, match="never replaced"):
        export(library, tmp_path / "pictures", mode="csv")


def test_hard_links_to_another_disk_are_refused_before_work_starts(tmp_path, library, monkeypatch):
    other = os.stat_result((0o40755, 1, 99_999, 1, 0, 0, 0, 0, 0, 0))
    monkeypatch.setattr(export_module, "_existing", lambda _: type("Place", (), {"stat": lambda _: other})())
    with pytest.raises(DataError, match=r"another disk\. Use copy"):
        export(library, tmp_path / "out", mode="hardlink")
