"""A power cut at any moment of an export, an undo, or the making of a run or backup, under the weakest promises."""

import os
import sys

import pytest

from crashes import Recorder, build, files_of, read
from exports import catalogued
from selfsort import Clusters
from selfsort import publish as publish_module
from selfsort.files import atomic_write
from selfsort.photos import writer as writer_module
from selfsort.photos.catalog import Catalog
from selfsort.photos.export import JOURNAL, export, undo
from selfsort.photos.restore import plan_restore, restore
from selfsort.photos.trash import move_to_trash, plan_trash
from selfsort.publish import publish, workplace
from selfsort.runtime import Clock
from test_export import make_run, write_files
from test_trash import trash_of_a_home  # noqa: F401
from test_xmp import LIGHTROOM

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches the system calls of Linux")
FILES = {"a/one.jpg": b"one", "two.jpg": b"two", "z": b"z"}


@pytest.fixture
def library(tmp_path):
    """A small run, a folder to export into, and a sidecar that was there before."""
    write_files(tmp_path / "pictures", FILES)
    (tmp_path / "area").mkdir()
    return make_run(tmp_path / "pictures", FILES)


@pytest.fixture(autouse=True)
def nothing_is_synced(monkeypatch):
    """Recovery is what counts, not that it is slow."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def recorded(area, patch, work):
    recorder = Recorder(area)
    with recorder.watching(patch):
        work()
    return recorder


def undone(place):
    if os.path.lexists(place / JOURNAL):
        undo(place)


def wrong_states(recorder, recover, *, without=None, counts=lambda name: True):
    """Yield the states from which a way of recovery does not lead to what is right, and what it leads to.

    ``recover`` are pairs of a function and the contents, by path, that it may lead to.
    """
    after = recorder.final_states(without)
    wanted = {name: what for name, what in recorder.last.items() if counts(name)}
    if any({name: what for name, what in state.items() if counts(name)} != wanted for state in after):
        yield "end", after  # the program had said that it is done
    for moment, state in recorder.states(without):
        for how, right in recover:
            build(recorder.area, state)
            try:
                how()
            except Exception as error:
                yield moment, state, repr(error)
            else:
                if files_of(read(recorder.area)) not in right:
                    yield moment, state, read(recorder.area)


def assert_every_sync_counts(recorder, recover, *, but="-", **options):
    assert next(wrong_states(recorder, recover, **options), None) is None
    assert recorder.sites()
    for site in recorder.sites():
        if site.startswith(but):
            continue
        assert next(wrong_states(recorder, recover, without=site, **options), None), f"nothing needs the sync at {site}"


@pytest.mark.parametrize("mode", ["copy", "symlink", "csv", "xmp"])
def test_an_export(tmp_path, library, monkeypatch, mode):
    area = tmp_path / "area"
    place = area / "new/out"
    if mode == "xmp":
        (area / "new/out/a").mkdir(parents=True)
        (place / "a/one.jpg.xmp").write_text(LIGHTROOM)
        (place / "z.xmp").write_text(LIGHTROOM)
    before = files_of(read(area))
    monkeypatch.setattr(writer_module, "_BATCH", 2)

    def job():
        export(library, place, mode=mode)

    recorder = recorded(area, monkeypatch, job)
    after = files_of(read(area))

    def both():
        job()
        without_journal = {name: what for name, what in files_of(read(area)).items() if not name.endswith(JOURNAL)}
        assert without_journal == {name: what for name, what in after.items() if not name.endswith(JOURNAL)}
        undo(place)

    assert_every_sync_counts(recorder, [(lambda: undone(place), [before]), (both, [before])])


@pytest.mark.parametrize("mode", ["copy", "xmp"])
def test_an_undo(tmp_path, library, monkeypatch, mode):
    area = tmp_path / "area"
    place = area / "new/out"
    if mode == "xmp":
        place.mkdir(parents=True)
        (place / "z.xmp").write_text(LIGHTROOM)
    before = files_of(read(area))
    export(library, place, mode=mode)
    recorder = recorded(area, monkeypatch, lambda: undo(place))
    assert_every_sync_counts(recorder, [(lambda: undone(place), [before])])


@pytest.mark.parametrize("there", [True, False])
def test_a_run_that_appears(tmp_path, library, monkeypatch, there):
    area = tmp_path / "area"
    target = area / "run"
    monkeypatch.setattr(publish_module, "write_report", lambda _, path, **__: path.write_text("report"))

    def make(level):
        library.run |= {"level": level, "selfsort": "0"}
        with workplace(target) as work:
            publish(library, None, work, target, Clock())

    if there:
        make(0)
    before = files_of(read(area))
    recorder = recorded(area, monkeypatch, lambda: make(1))
    after = files_of(read(area))
    assert after != before

    def is_run(name):
        return name.startswith("run")

    def next_call():
        with workplace(target):
            pass

    twice = "files.py:atomic_write" if there else "files.py"  # syncs that are needed elsewhere
    assert_every_sync_counts(recorder, [(next_call, [before, after])], but=twice, counts=is_run)


@pytest.mark.parametrize("what", ["trash", "restore"])
def test_the_trash(tmp_path, bin_, monkeypatch, what):
    """Wherever the power goes, each picture is there or in the trash, and what was said to be noted is noted."""
    for name in ("files", "info"):  # as on any desktop that was ever used
        (bin_ / name).mkdir(parents=True)
    run = catalogued(tmp_path, FILES)
    clusters = Clusters.load(run)
    (tmp_path / "pictures/two.xmp").write_bytes(b"<x/>")
    kept = {*FILES.values(), b"<x/>"}

    def go():
        move_to_trash(clusters, plan_trash(clusters, ["two.jpg", "z"]))

    if what == "trash":
        recorder = recorded(tmp_path, monkeypatch, go)
    else:
        go()
        recorder = recorded(tmp_path, monkeypatch, lambda: restore(clusters, plan_restore(clusters)))

    def lost(without):
        states = [state for _, state in recorder.states(without)]
        log = {state.get("run.trashed.jsonl", b"") for state in recorder.final_states(without)}
        return any(not kept <= {*state.values()} for state in states) or log != {recorder.last["run.trashed.jsonl"]}

    assert not lost(None)
    sites = [site for site in recorder.sites() if "note" in site or "_bring_back" in site]
    assert {site.split(":")[1] for site in sites} == {"trash": {"note"}, "restore": {"note", "_bring_back"}}[what]
    for site in sites:
        assert lost(site), f"nothing needs the sync at {site}"


def test_a_file_that_is_written_whole(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")

    def write():
        with atomic_write(tmp_path / "file") as temporary:
            temporary.write_text("new")

    recorder = recorded(tmp_path, monkeypatch, write)
    for site in [None, *recorder.sites()]:
        found = {state["file"] for _, state in recorder.states(site)}, {s["file"] for s in recorder.final_states(site)}
        assert (found == ({b"old", b"new"}, {b"new"})) == (site is None)


def test_a_backup_and_a_new_catalog(tmp_path, monkeypatch):
    def make():
        with Catalog(tmp_path / "catalog") as catalog:
            catalog.backup(tmp_path / "backup")

    recorder = recorded(tmp_path, monkeypatch, make)
    whole = (tmp_path / "backup").read_bytes()
    assert {state.get("backup", whole) for _, state in recorder.states()} == {whole}  # all of it or nothing
    assert all({"catalog", "backup"} <= state.keys() for state in recorder.final_states())
    for site in recorder.sites():
        is_cut = any(state.get("backup", whole) != whole for _, state in recorder.states(site))
        lost = any(not {"catalog", "backup"} <= state.keys() for state in recorder.final_states(site))
        assert is_cut or lost or "_open" in site
    assert any("_open" in site for site in recorder.sites())
