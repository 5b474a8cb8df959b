"""Journals of strangers and two callers at once: undo touches only what an export can have made."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
import zlib

import pytest
from click.testing import CliRunner

from exports import catalogued, files, folder_of_run  # noqa: F401
from selfsort.app.work import export_groups
from selfsort.cli import main
from selfsort.errors import DataError
from selfsort.files import content_id
from selfsort.photos import journal as journal_module
from selfsort.photos import undo as undo_module
from selfsort.photos.export import JOURNAL, export, undo
from selfsort.photos.journal import Journal, temporary
from selfsort.photos.place import alone_in
from test_export import PLAN, make_run, posix, targets, tree, write_files

TOKEN = "0123abcd"


@pytest.fixture
def library(tmp_path):
    write_files(tmp_path / "pictures")
    return make_run(tmp_path / "pictures", run_folder=tmp_path / "run")


def forge(place, mode, *steps, **header):
    """Write the journal of an export that was never made."""
    first = {"do": "export", "format": 2, "mode": mode, "token": TOKEN, "made": [], **header}
    place.mkdir(exist_ok=True)
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in (first, *steps)]
    (place / JOURNAL).write_bytes(b"\n".join(lines) + b"\n")


def entry(kind, target, content, **facts):
    if kind in ("copy", "member", "hardlink", "symlink"):
        facts = {"original": "/etc/hostname", "size": 1, "inode": 1, "mtime_ns": 1} | facts
    if kind == "sidecar":
        facts = {"before": None, "replaces": None, "mtime_ns": 0} | facts
    return {"do": "plan", "kind": kind, "target": target, "hash": content_id(content), **facts}


def packed(content):
    return base64.b64encode(zlib.compress(content)).decode()


PRECIOUS = b"precious"
STRANGE = {
    "outside": ("copy", entry("copy", "../precious.jpg", PRECIOUS)),
    "far outside": ("copy", entry("copy", "../../x", PRECIOUS)),
    "absolute": ("copy", entry("copy", "/precious.jpg", PRECIOUS)),
    "outside by a folder": ("xmp", entry("sidecar", "a/../../precious.xmp", PRECIOUS)),
    "too deep": ("copy", entry("copy", "a/b/c.jpg", PRECIOUS)),
    "beside the folders": ("copy", entry("copy", "precious.jpg", PRECIOUS)),
    "a folder of no group": ("copy", entry("copy", "con/precious.jpg", PRECIOUS)),
    "no sidecar": ("xmp", entry("sidecar", "notes.txt", PRECIOUS)),
    "no table": ("csv", entry("table", "notes.txt", PRECIOUS)),
    "another table": ("csv", entry("table", "groups.json", PRECIOUS)),
    "another kind": ("csv", entry("copy", "a/precious.jpg", PRECIOUS)),
    "a sidecar among copies": ("copy", entry("sidecar", "a/precious.xmp", PRECIOUS)),
    "a temporary name": ("copy", entry("copy", "a/x.jpg", PRECIOUS, temporary="precious.jpg")),
    "a NUL": ("copy", entry("copy", "a/\0", PRECIOUS)),
    "half a character": ("copy", entry("copy", "a/\ud800", PRECIOUS)),
    "too long": ("copy", entry("copy", "a/" + "x" * 256, PRECIOUS)),
    "nameless": ("copy", entry("copy", "a//b", PRECIOUS)),
    "a number": ("copy", entry("copy", 5, PRECIOUS)),
    "no hash": ("copy", entry("copy", "a/b.jpg", PRECIOUS) | {"hash": None}),
    "another hash": ("copy", entry("copy", "a/b.jpg", PRECIOUS) | {"hash": "0" * 32}),
    "a list for a size": ("copy", entry("copy", "a/b.jpg", PRECIOUS, size=[])),
    "a huge time": ("xmp", entry("sidecar", "a.xmp", PRECIOUS, before=packed(b"x"), mtime_ns=1 << 70)),
    "a bomb": ("xmp", entry("sidecar", "a.xmp", PRECIOUS, before=packed(bytes(17 << 20)))),
    "no base64": ("xmp", entry("sidecar", "a.xmp", PRECIOUS, before="&&&")),
    "cut": ("xmp", entry("sidecar", "a.xmp", PRECIOUS, before=packed(bytes(range(256)))[:40])),
    "a folder outside": ("copy", {"do": "folder", "target": ".."}),
    "a folder in a folder": ("copy", {"do": "folder", "target": "a/b"}),
    "a folder of tables": ("csv", {"do": "folder", "target": "a"}),
    "the journal as a folder": ("copy", {"do": "folder", "target": JOURNAL}),
    "done without a plan": ("copy", {"do": "done", "target": "a/b.jpg"}),
    "an unknown step": ("copy", {"do": "delete", "target": "a/b.jpg"}),
    "an unknown mode": ("move", {"do": "end"}),
    "a second mode": ("copy", {"do": "export", "format": 2, "mode": "xmp", "token": TOKEN, "made": []}),
    "a list": ("copy", []),
    "a text": ("copy", "text"),
    "no JSON": ("copy", b"{"),
    "deep": ("copy", b"[" * 100_000),
    "a long number": ("copy", b"1" * 5000),
    "no text": ("copy", b"\xff\xfe"),
}


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("case", STRANGE)
def test_a_journal_that_no_export_wrote_is_refused_before_anything_is_touched(tmp_path, case, dry_run):
    mode, step = STRANGE[case]
    place = tmp_path / "out"
    (place / "a/b").mkdir(parents=True)
    for name in (
        "precious.jpg",
        "out/precious.jpg",
        "out/a/precious.jpg",
        "out/notes.txt",
        "out/a.xmp",
        "precious.xmp",
    ):
        (tmp_path / name).write_bytes(PRECIOUS)
    (place / "a/fine.jpg").write_bytes(b"fine")
    (place / temporary(TOKEN, "a/fine.jpg")).write_bytes(b"left")
    fine = entry("copy", "a/fine.jpg", b"fine") if mode == "copy" else {"do": "end"}
    forge(place, mode, fine, step)
    before = tree(tmp_path)
    with pytest.raises(DataError) as caught:
        undo(place, dry_run=dry_run)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert "damaged" in str(caught.value)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "header",
    [{"token": "../../xx"}, {"token": 5}, {"token": "0123ABCD"}, {"made": "abc"}, {"made": [5]}, {"made": None}],
)
def test_the_first_line_is_checked_too(tmp_path, header):
    forge(tmp_path / "out", "copy", **header)
    with pytest.raises(DataError, match="damaged"):
        undo(tmp_path / "out")


@pytest.mark.parametrize(("header", "words"), [({"format": 1}, "an earlier"), ({"format": 3}, "a newer")])
def test_a_journal_of_another_version_is_refused_with_what_to_do(tmp_path, library, header, words):
    forge(tmp_path / "out", "copy", **header)
    for call in (lambda: undo(tmp_path / "out"), lambda: export(library, tmp_path / "out", mode="copy")):
        with pytest.raises(DataError, match=f"of {words} version of selfsort.*remove only the journal"):
            call()
    first = {"run": None, "fingerprint": "f", "mode": "copy", "do": "export", "token": TOKEN, "made": []}
    (tmp_path / "out" / JOURNAL).write_text(json.dumps(first) + "\n")  # as version 0.1 wrote it
    with pytest.raises(DataError, match="of an earlier version"):
        undo(tmp_path / "out")


def test_a_file_of_the_user_by_the_name_of_a_journal_stays(tmp_path, library):
    for content in (b"my notes", b"my notes\n", b"{}\n", b"[1]", b'{"do": "end"}\n'):
        (tmp_path / JOURNAL).write_bytes(content)
        for call in (lambda: undo(tmp_path), lambda: export(library, tmp_path, mode="csv")):
            with pytest.raises(DataError, match="damaged"):
                call()
        assert (tmp_path / JOURNAL).read_bytes() == content


@posix
@pytest.mark.parametrize("what", ["link", "link to nowhere", "pipe", "folder", "device"])
def test_what_is_no_file_by_the_name_of_a_journal_is_neither_followed_nor_waited_for(tmp_path, library, what):
    export(library, tmp_path / "elsewhere", mode="copy")
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / JOURNAL
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(tmp_path / "elsewhere" / JOURNAL if what == "link" else tmp_path / "nowhere")
    before = tree(tmp_path)
    for dry_run in (True, False):
        for call in (
            lambda dry_run: undo(tmp_path / "out", dry_run=dry_run),
            lambda dry_run: undo(tmp_path / "out" if what == "folder" else path, dry_run=dry_run),
            lambda dry_run: export(library, tmp_path / "out", mode="copy", dry_run=dry_run),
        ):
            with pytest.raises(DataError, match=r"it is a link, not a file|no regular file"):
                call(dry_run)
    assert tree(tmp_path) == before


@posix
def test_a_journal_with_a_second_name_is_not_written_to(tmp_path, library):
    export(library, tmp_path / "out", mode="csv")
    os.link(tmp_path / "out" / JOURNAL, tmp_path / "second")
    with pytest.raises(DataError, match="second name"):
        export(library, tmp_path / "out", mode="csv")


@posix
def test_undo_does_not_go_through_links_on_the_way(tmp_path):
    (tmp_path / "mine/deep").mkdir(parents=True)
    (tmp_path / "mine/deep/a.xmp").write_bytes(PRECIOUS)
    forge(tmp_path / "out", "xmp", {"do": "folder", "target": "x"}, entry("sidecar", "x/deep/a.xmp", PRECIOUS))
    (tmp_path / "out/x").symlink_to(tmp_path / "mine")
    result = undo(tmp_path / "out")
    assert result.kept == [("x/deep/a.xmp", "its folder was replaced by a link or a file")]
    assert (tmp_path / "mine/deep/a.xmp").read_bytes() == PRECIOUS


@posix
def test_a_link_put_in_place_of_a_folder_while_undo_runs_is_not_followed(tmp_path, library, monkeypatch):
    export(library, tmp_path / "out", mode="copy")
    before = tree(tmp_path / "pictures")
    looked = undo_module._original_is_safe

    def swap(place, entry):
        found = looked(place, entry)
        if entry.target == "ungrouped/nowhere.jpg":
            (tmp_path / "out/ungrouped").rename(tmp_path / "aside")
            (tmp_path / "out/ungrouped").symlink_to(tmp_path / "pictures")
        return found

    monkeypatch.setattr(undo_module, "_original_is_safe", swap)
    reason = "it cannot be removed: its folder is a link or a file"
    assert undo(tmp_path / "out").kept == [("ungrouped/nowhere.jpg", reason)]
    assert tree(tmp_path / "pictures") == before


def test_only_a_file_with_the_recorded_content_and_another_copy_of_it_is_removed(tmp_path):
    (tmp_path / "out/a").mkdir(parents=True)
    original = tmp_path / "original"
    original.write_bytes(b"other bytes")
    size, mtime = original.stat().st_size, original.stat().st_mtime_ns
    for name in ("one", "two", "three"):
        (tmp_path / "out/a" / name).write_bytes(PRECIOUS)
    facts = {"size": len(PRECIOUS), "mtime_ns": mtime}
    forge(
        tmp_path / "out",
        "copy",
        entry("copy", "a/one", b"other content", original=str(original), size=size, mtime_ns=mtime),
        entry("copy", "a/two", PRECIOUS, original=str(original), size=size, mtime_ns=mtime),
        entry("copy", "a/three", PRECIOUS, original=str(tmp_path / "out/a/three"), **facts),
    )
    assert dict(undo(tmp_path / "out").kept) == {
        "a/one": "it was changed since",
        "a/two": "its original is gone or changed, so this is the last copy",
        "a/three": "its original is gone or changed, so this is the last copy",
    }


@pytest.mark.parametrize(
    "tail", [b"\0" * 50, b'{"do": "pl', b"\0" * 20 + b'one"}\n{"do": "done", "target": "x"}\n', b"{\0}\n"]
)
@pytest.mark.parametrize("then", ["undo", "continue"])
def test_what_a_power_cut_leaves_at_the_end_of_a_journal_is_passed_over(tmp_path, library, tail, then):
    before = tree(tmp_path)
    export(library, tmp_path / "out", mode="copy")
    with open(tmp_path / "out" / JOURNAL, "ab") as file:
        file.write(tail)
    if then == "continue":
        assert len(export(library, tmp_path / "out", mode="copy").already_done) == 6
        assert b"\0" not in (tmp_path / "out" / JOURNAL).read_bytes()
    undo(tmp_path / "out")
    assert tree(tmp_path) == before


def test_a_hole_in_the_middle_of_a_journal_is_no_power_cut(tmp_path, library):
    export(library, tmp_path / "out", mode="copy")
    lines = (tmp_path / "out" / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / "out" / JOURNAL).write_bytes(b"".join([lines[0], bytes(len(lines[1]) - 1) + b"\n", *lines[2:]]))
    before = tree(tmp_path)
    with pytest.raises(DataError, match="in the middle is lost"):
        undo(tmp_path / "out")
    assert tree(tmp_path) == before


def test_the_second_caller_is_refused_and_writes_nothing(tmp_path, library):
    export(library, tmp_path / "done", mode="copy")
    (tmp_path / "empty").mkdir()
    with alone_in(tmp_path / "done"), alone_in(tmp_path / "empty"), alone_in(tmp_path / "pictures"):
        before = tree(tmp_path)
        for call in (
            lambda: undo(tmp_path / "done"),
            lambda: undo(tmp_path / "done" / JOURNAL),
            lambda: export(library, tmp_path / "done", mode="copy"),
            lambda: export(library, tmp_path / "empty", mode="csv"),
            lambda: export(library, None, mode="xmp"),
        ):
            with pytest.raises(DataError, match=r"Another selfsort is at work in .*give the same command again"):
                call()
        assert tree(tmp_path) == before
        undo(tmp_path / "done", dry_run=True)  # these only look
        assert export(library, tmp_path / "done", mode="copy", dry_run=True).operations
        assert export(library, None, mode="xmp", dry_run=True).operations
    assert len(undo(tmp_path / "done").removed) == 6


def test_the_command_and_the_page_refuse_too(tmp_path, folder):
    with alone_in(tmp_path / "pictures"):
        said = CliRunner().invoke(main, ["export", str(folder), "--mode", "xmp", "--beside-originals"])
        assert (said.exit_code, said.stdout) == (1, "")
        assert said.stderr.count("\n") == 1
        with pytest.raises(DataError, match="Another selfsort"):
            export_groups(lambda *_: None, run=str(folder), destination=None, mode="xmp", names="full", dry_run=False)


def test_undo_during_an_export_and_exports_at_once(tmp_path, library):
    """Whoever comes while another is at work is refused; in the end all is as if one had come after the other."""
    before = tree(tmp_path)
    outcomes, inside = [], threading.Event()

    def slow(stage, done, total):
        inside.set()
        time.sleep(0.02)

    first = threading.Thread(target=lambda: export(library, tmp_path / "out", mode="copy", progress=slow))
    first.start()
    assert inside.wait(10)
    while first.is_alive():
        for call in (lambda: undo(tmp_path / "out"), lambda: export(library, tmp_path / "out", mode="copy")):
            try:
                call()
                outcomes.append("done" if first.is_alive() else "after")
            except DataError as error:
                outcomes.append(str(error).split(" is at work")[0])
    first.join()
    assert set(outcomes) <= {"Another selfsort", "after"}
    assert "Another selfsort" in outcomes
    if (tmp_path / "out" / JOURNAL).exists():
        undo(tmp_path / "out")
    assert tree(tmp_path) == before


@posix
def test_two_processes_that_start_together(tmp_path, library):
    script = """
import sys
from pathlib import Path
from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.photos.export import export
run = Clusters.load(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    print(len(export(run, Path(sys.argv[2]), mode="copy").done))
except DataError as error:
    print(error)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path / "run"), str(tmp_path / "new/out")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    said = sorted(process.communicate(timeout=60)[0].strip() for process in both)
    assert "6" in said
    assert said[-1].startswith("Another selfsort") or said == ["0", "6"]
    assert targets(tmp_path / "new/out") == PLAN


@pytest.mark.parametrize("name", ["a\0b", "a/\0", "x" * 256, "deep/" + "x" * 300, "\ud800", "y/" * 3000])
def test_a_folder_that_cannot_be_is_refused_in_one_line(tmp_path, library, name):
    before = tree(tmp_path)
    for mode in ("copy", "csv", "xmp"):
        for dry_run in (True, False):
            with pytest.raises(DataError, match="There can be no file or folder") as caught:
                export(library, tmp_path / name, mode=mode, dry_run=dry_run)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 300
            str(caught.value).encode()
    with pytest.raises(DataError, match="There can be no file or folder"):
        undo(tmp_path / name)
    assert tree(tmp_path) == before


@posix
def test_a_folder_that_can_be_however_odd(tmp_path, library):
    for name in ("new\nline", os.fsdecode(b"caf\xe9"), " ", "x" * 255, "a/" * 50 + "b"):
        assert len(export(library, tmp_path / "out" / name, mode="symlink").done) == 6
        assert len(undo(tmp_path / "out" / name).removed) == 6


def test_a_journal_can_be_read_back_as_it_was_written(tmp_path, library):
    export(library, tmp_path / "out", mode="copy")
    lines = (tmp_path / "out" / JOURNAL).read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    assert steps[0]["format"] == journal_module.FORMAT
    found = Journal.read(tmp_path / "out" / JOURNAL)
    assert [entry.step() for entry in found.files.values()] == [step for step in steps if step["do"] == "plan"]
    assert (found.length, found.ended, all(entry.done for entry in found.files.values())) == (
        (tmp_path / "out" / JOURNAL).stat().st_size,
        True,
        True,
    )
    assert "temporary" not in (tmp_path / "out" / JOURNAL).read_text()
