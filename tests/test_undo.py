import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from selfsort.errors import DataError
from selfsort.photos import journal as journal_module
from selfsort.photos.export import JOURNAL, export, undo
from test_export import PLAN, make_run, posix, targets, tree, write_files


@pytest.fixture
def library(tmp_path):
    write_files(tmp_path / "pictures")
    return make_run(tmp_path / "pictures", run_folder=tmp_path / "run")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("links_work", [True, False])
def test_moving_into_place_replaces_nothing_on_any_file_system(tmp_path, monkeypatch, links_work):
    if not links_work:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    (tmp_path / "temporary").write_bytes(b"new")
    (tmp_path / "there").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        journal_module._move_without_replacing(tmp_path / "temporary", tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"old"
    journal_module._move_without_replacing(tmp_path / "temporary", tmp_path / "free")
    assert (tmp_path / "free").read_bytes() == b"new"


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink"])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_killed_export_is_continued_or_undone(tmp_path, library, mode, after):
    def die(stage, done, total):
        if done == after:
            raise Killed

    before = tree(tmp_path)
    with pytest.raises(Killed):
        export(library, tmp_path / "out", mode=mode, progress=die)
    undo(tmp_path / "out")
    assert tree(tmp_path) == before
    with pytest.raises(Killed):
        export(library, tmp_path / "out", mode=mode, progress=die)
    result = export(library, tmp_path / "out", mode=mode)
    assert (len(result.already_done), len(result.done)) == (after, 6 - after)
    assert targets(tmp_path / "out") == PLAN
    undo(tmp_path / "out")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("crash", ["write_whole", "_move_without_replacing", "hash_file"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("then", ["undo", "continue"])
def test_a_crash_inside_one_copy_leaves_nothing_behind(tmp_path, library, monkeypatch, crash, moment, then):
    before = tree(tmp_path)
    step, calls = getattr(journal_module, crash), []

    def crash_at_the_third(*args):
        calls.append(args)
        if len(calls) == 3 and moment == "before":
            raise Killed
        value = step(*args)
        if len(calls) == 3:
            raise Killed
        return value

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, crash, crash_at_the_third)
        tidy = Path.unlink  # which a killed process does not do
        patch.setattr(Path, "unlink", lambda *path, **how: None if len(calls) >= 3 else tidy(*path, **how))
        with pytest.raises(Killed):
            export(library, tmp_path / "out", mode="copy")
    with open(tmp_path / "out" / JOURNAL, "ab") as file:
        file.write(b'{"do": "pl')  # the line that the crash cut off
    if then == "continue":
        result = export(library, tmp_path / "out", mode="copy")
        assert len(result.already_done) + len(result.done) == 6
        assert targets(tmp_path / "out") == PLAN
    assert undo(tmp_path / "out").added == []
    assert tree(tmp_path) == before


@posix
@pytest.mark.parametrize("then", ["undo", "continue"])
def test_kill_9(tmp_path, then):
    files = {f"{i:04d}.jpg": bytes([i % 251 + 1]) * 20_000 for i in range(600)}
    write_files(tmp_path / "pictures", files)
    run = make_run(tmp_path / "pictures", files, run_folder=tmp_path / "run")
    before = tree(tmp_path)
    script = f"""
        from pathlib import Path
        from selfsort.clusters import Clusters
        from selfsort.photos.export import export
        export(Clusters.load({str(tmp_path / "run")!r}), Path({str(tmp_path / "out")!r}), mode="copy")
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    journal, deadline = tmp_path / "out" / JOURNAL, time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size > 6000) and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = len(targets(tmp_path / "out"))
    assert 0 < made < 600
    if then == "continue":
        result = export(run, tmp_path / "out", mode="copy")
        assert len(result.already_done) >= made - 1
        assert len(targets(tmp_path / "out")) == 600
    assert undo(tmp_path / "out").kept == []
    assert tree(tmp_path) == before


def test_a_journal_that_a_crash_cut_off_at_once(tmp_path, library):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_bytes(b'{"do": "exp')
    assert len(export(library, tmp_path / "out", mode="copy").done) == 6
    assert undo(tmp_path / "out").finished
    (tmp_path / "out" / JOURNAL).write_bytes(b"")
    assert undo(tmp_path / "out").removed == []
    assert list((tmp_path / "out").iterdir()) == []


def test_undo_keeps_what_the_user_changed_or_added(tmp_path, library):
    out = tmp_path / "out"
    export(library, out, mode="copy")
    (out / "group-000/one.jpg").write_bytes(b"edited")
    (out / "group-000/notes.txt").write_bytes(b"mine")
    (out / "mine").mkdir()
    (out / "group-001/no suffix").unlink()
    back = undo(out)
    assert back.kept == [("group-000/one.jpg", "it was changed since")]
    assert back.added == ["group-000/notes.txt", "mine"]
    assert targets(out) == ["group-000/notes.txt", "group-000/one.jpg"]
    assert (out / "mine").is_dir()
    assert not (out / JOURNAL).exists()


@posix
def test_undo_never_follows_a_link_to_the_originals(tmp_path, library):
    out = tmp_path / "out"
    before = tree(tmp_path / "pictures")
    export(library, out, mode="copy")
    shutil.rmtree(out / "ungrouped")
    (out / "ungrouped").symlink_to(tmp_path / "pictures")  # nowhere.jpg in it has the same content
    (out / "group-000/one.jpg").unlink()
    (out / "group-000/one.jpg").symlink_to(tmp_path / "pictures/a/one.jpg")
    back = undo(out)
    assert dict(back.kept) == {
        "ungrouped/nowhere.jpg": "its folder was replaced by a link",
        "group-000/one.jpg": "it was replaced since",
    }
    assert tree(tmp_path / "pictures") == before


@posix
@pytest.mark.parametrize("mode", ["copy", "hardlink"])
def test_undo_never_removes_the_last_copy(tmp_path, library, mode):
    export(library, tmp_path / "out", mode=mode)
    (tmp_path / "pictures/nowhere.jpg").unlink()
    os.utime(tmp_path / "pictures/no suffix")  # only touched
    back = undo(tmp_path / "out")
    assert [name for name, _ in back.kept] == ["ungrouped/nowhere.jpg"]
    assert (tmp_path / "out/ungrouped/nowhere.jpg").read_bytes() == b"six"
    assert len(back.removed) == 5


def test_undo_that_may_not_remove_can_be_repeated(tmp_path, library, monkeypatch):
    remove = Path.unlink

    def refuse(path, **how):
        if path.name == "nowhere.jpg":
            raise PermissionError(13, "Permission denied")
        remove(path, **how)

    before = tree(tmp_path)
    export(library, tmp_path / "out", mode="copy")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        back = undo(tmp_path / "out")
    assert (back.kept, back.finished) == ([("ungrouped/nowhere.jpg", "it cannot be removed: Permission denied")], False)
    assert undo(tmp_path / "out").removed == ["ungrouped/nowhere.jpg"]
    assert tree(tmp_path) == before


def test_a_journal_that_points_outside_is_refused(tmp_path, library):
    (tmp_path / "precious").write_bytes(b"x")
    export(library, tmp_path / "out", mode="csv")
    for target in ("../precious", "/precious", "a/../../precious", "a/b/c"):
        text = (tmp_path / "out" / JOURNAL).read_text()
        (tmp_path / "out" / JOURNAL).write_text(text.replace("groups.csv", target))
        with pytest.raises(DataError, match="damaged"):
            undo(tmp_path / "out")
        (tmp_path / "out" / JOURNAL).write_text(text)
    assert (tmp_path / "precious").exists()


def test_a_full_disk_ends_the_export_and_can_be_continued(tmp_path, library, monkeypatch):
    def full(path, content, digest):
        path.write_bytes(next(iter(content))[:1])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "write_whole", full)
        with pytest.raises(DataError, match="disk is full"):
            export(library, tmp_path / "out", mode="copy")
    assert targets(tmp_path / "out") == []
    assert len(export(library, tmp_path / "out", mode="copy").done) == 6


def test_every_file_is_announced_before_and_confirmed_after(tmp_path, library):
    export(library, tmp_path / "out", mode="copy")
    steps = [json.loads(line) for line in (tmp_path / "out" / JOURNAL).read_text().splitlines()]
    assert steps[0]["do"] == "export"
    assert steps[-1] == {"do": "end"}
    order = [(step["do"], step["target"]) for step in steps[1:-1] if step["do"] != "folder"]
    assert order == [(do, operation) for operation in planned(library, tmp_path) for do in ("plan", "done")]


def planned(library, tmp_path):
    return [operation.target for operation in export(library, tmp_path / "x", mode="copy", dry_run=True).operations]


@posix
def test_undo_keeps_a_hard_link_that_an_editor_replaced(tmp_path, library):
    export(library, tmp_path / "out", mode="hardlink")
    (tmp_path / "edited").write_bytes(b"one")  # the same content, but a file of the user's own
    (tmp_path / "second name").hardlink_to(tmp_path / "edited")
    (tmp_path / "edited").replace(tmp_path / "out/group-000/one.jpg")
    assert undo(tmp_path / "out").kept == [("group-000/one.jpg", "it was replaced since")]


@pytest.mark.parametrize("then", ["undo", "continue"])
def test_a_crash_on_a_disk_without_links_leaves_nothing_behind(tmp_path, library, monkeypatch, then):
    def refuse(*_):
        raise PermissionError(1, "no links here")

    def die(*_):
        raise Killed

    before = tree(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        patch.setattr(Path, "replace", die)  # after the place was taken, before the file is in it
        with pytest.raises(Killed):
            export(library, tmp_path / "out", mode="copy")
        assert (tmp_path / "out/group-000/one.jpg").stat().st_size == 0
    if then == "continue":
        assert len(export(library, tmp_path / "out", mode="copy").done) == 6
    assert undo(tmp_path / "out").kept == []
    assert tree(tmp_path) == before
