import contextlib
import os
import shutil

import numpy as np
import pytest

from conftest import RUN_FILES, snapshot
from selfsort import Clusters, DataError, Settings, organize
from selfsort.files import locked
from selfsort.publish import publish, workplace
from selfsort.runtime import Clock
from test_export import make_run, write_files

# --- writing it


def test_an_unchanged_second_run_touches_nothing(own_library, tmp_path):
    first = organize(own_library.root, tmp_path / "run")
    before = snapshot(tmp_path / "run")
    again = organize(own_library.root, tmp_path / "run")
    assert snapshot(tmp_path / "run") == before
    assert again.run == first.run
    assert again.path == tmp_path / "run"


@pytest.mark.parametrize("change", ["settings", "file", "name", "labels", "report"])
def test_a_change_replaces_the_run_as_a_whole(own_library, tmp_path, change):
    run = tmp_path / "run"
    organize(own_library.root, run)
    before = snapshot(run)
    options = {}
    if change == "settings":
        options["settings"] = Settings(granularity=1.5)
    elif change == "file":
        (own_library.root / "notes.jpg").unlink()
    elif change == "name":
        (own_library.root / "notes.jpg").rename(own_library.root / "other.jpg")
    elif change == "labels":
        options["labels"] = "folders"
    else:
        (run / "report.html").unlink()
    organize(own_library.root, run, **options)
    after = snapshot(run)
    assert set(after) >= RUN_FILES
    assert after["run.json"] != before["run.json"]
    assert sorted(os.listdir(tmp_path)) == ["pictures", "run", "run.catalog"]  # noqa: PTH208


def test_a_folder_of_something_else_is_left_alone(library, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.doc").write_text("years of work")
    with pytest.raises(DataError, match="not replaced"):
        organize(library.root, tmp_path / "a")
    with pytest.raises(DataError, match="is a file"):
        organize(library.root, tmp_path / "a" / "thesis.doc")
    with pytest.raises(DataError):
        organize(library.root, tmp_path / "a" / "thesis.doc" / "run")
    assert (tmp_path / "a" / "thesis.doc").read_text() == "years of work"
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "thesis.doc"]


def test_a_run_json_of_another_program_makes_no_run(library, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.json").write_text('{"experiment": 5}')
    (tmp_path / "a" / "weights.bin").write_text("a week of training")
    with pytest.raises(DataError):
        organize(library.root, tmp_path / "a")
    assert (tmp_path / "a" / "weights.bin").exists()


def test_what_people_put_into_a_run_folder_is_never_deleted(library, tmp_path):
    """An export or notes inside a run: replacing the run would take them away."""
    organize(library.root, tmp_path / "run")
    (tmp_path / "run" / "export").mkdir()
    (tmp_path / "run" / "export" / "mine.jpg").write_bytes(b"mine")
    with contextlib.suppress(DataError):
        organize(library.root, tmp_path / "run", settings=Settings(granularity=2))
    assert (tmp_path / "run" / "export" / "mine.jpg").exists()


def test_originals_inside_the_run_folder_are_never_deleted(library, tmp_path):
    organize(library.root, tmp_path / "run")
    shutil.copytree(library.root / "disks", tmp_path / "run" / "pictures")
    with contextlib.suppress(DataError):
        organize(tmp_path / "run" / "pictures", tmp_path / "run")
    assert len(list((tmp_path / "run" / "pictures").iterdir())) == 11


def test_an_empty_folder_may_become_the_run(library, tmp_path):
    (tmp_path / "run").mkdir()
    organize(library.root, tmp_path / "run")
    assert {p.name for p in (tmp_path / "run").iterdir()} == RUN_FILES


def test_a_run_inside_the_pictures_is_not_among_them(own_library):
    first = organize(own_library.root, own_library.root / "run")
    again = organize(own_library.root, own_library.root / "run")
    assert len(first.items) == len(own_library)
    assert again.run["fingerprint"] == first.run["fingerprint"]


def test_a_process_at_work_keeps_others_out(library, tmp_path):
    (tmp_path / ".run.partial").mkdir()
    with locked(tmp_path / ".run.partial", "held"), pytest.raises(DataError, match="Another selfsort"):
        organize(library.root, tmp_path / "run")
    organize(library.root, tmp_path / "run")


def test_an_interrupt_in_any_stage_is_continued(library, tmp_path, run):
    for stage in ("embed", "look", "neighbors", "groups", "map", "name", "report"):

        def interrupt(name, done, total, stage=stage):
            if name == stage:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            organize(library.root, tmp_path / "run", progress=interrupt)
        assert not (tmp_path / "run").exists()
    kept = [p.name.split("-")[0] for p in (tmp_path / ".run.partial").iterdir()]
    assert sorted(kept) == ["groups", "map", "neighbors", "recall"]
    seen = []
    again = organize(library.root, tmp_path / "run", progress=lambda *call: seen.append(call[0]))
    assert set(seen) == {"find", "embed", "look", "name", "report"}  # the other stages were kept
    assert np.array_equal(again.labels, run.labels)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run.catalog"]


@pytest.mark.parametrize("earlier", [False, True])
def test_a_kill_just_after_the_run_is_in_place_leaves_nothing_for_ever(library, tmp_path, run, earlier):
    """The moment between the last rename and the removal of the workplace."""
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / ".run.partial").mkdir()
    (tmp_path / ".run.partial" / "lock").touch()
    if earlier:
        shutil.copytree(run.path, tmp_path / ".run.partial" / "old")
    organize(library.root, tmp_path / "run")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run.catalog"]


# --- input that cannot be used leaves no run


def test_more_groups_than_pictures(library, tmp_path, fresh_cache):
    with pytest.raises(DataError, match="60 groups need at least as many different pictures, and there are 55"):
        organize(library.root, tmp_path / "run", settings=Settings(groups=60))
    # what was read is kept for the next try
    assert {p.name for p in tmp_path.iterdir()} - {fresh_cache.name} == {"run.catalog"}
    with pytest.raises(DataError, match="groups need at least as many"):  # as many as there are files: before any work
        organize(library.root, tmp_path / "other", settings=Settings(groups=600))
    assert {p.name for p in tmp_path.iterdir()} - {fresh_cache.name} == {"run.catalog"}


@pytest.mark.parametrize("data", ["nowhere", b"nowhere", "", []])
def test_data_that_is_not_there(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError):
        organize(data, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"name,kind\n1,2\n", b"path,label\nnowhere.png,a\n", b"\xff\xfe\0"])
def test_labels_that_cannot_be_used_are_named(library, tmp_path, content):
    if content is not None:
        (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(DataError):
        organize(library.root, tmp_path / "run", labels=tmp_path / "labels.csv")
    assert not (tmp_path / "run").exists()


def test_an_empty_folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError, match="no files"):
        organize(tmp_path / "pictures", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_json_and_arrays_of_another_program_make_no_run(library, tmp_path):
    other = tmp_path / "experiment"
    other.mkdir()
    (other / "run.json").write_text('{"experiment": 5}')
    np.save(other / "labels.npy", np.arange(3))
    before = snapshot(other)
    with pytest.raises(DataError, match="not replaced"):
        organize(library.root, other)
    assert snapshot(other) == before


def test_what_is_put_into_a_run_while_the_next_one_works_is_kept(library, tmp_path):
    target = tmp_path / "run"
    organize(library.root, target)

    def write_notes(stage, done, total):
        if stage == "map":
            (target / "notes.txt").write_text("mine")

    with pytest.raises(DataError, match=r"notes\.txt"):
        organize(library.root, target, settings=Settings(seed=1), progress=write_notes)
    assert (target / "notes.txt").read_text() == "mine"
    assert Clusters.load(target).run["seed"] == 0


def test_a_link_as_target_stays_a_link(library, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    organize(library.root, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "run.json").exists()


@pytest.mark.parametrize("what", ["notes.txt", "figures/mine.png", "a folder"])
def test_what_is_put_into_the_run_while_it_is_made_again_stays(tmp_path, monkeypatch, what):
    monkeypatch.setattr("selfsort.publish.write_report", lambda _, path, **__: path.write_text("page"))
    write_files(tmp_path / "pictures")
    clusters = make_run(tmp_path / "pictures")
    clusters.run["selfsort"] = "0"
    target = tmp_path / "run"

    def put(_):
        if what == "a folder":
            (target / what).mkdir()
        else:
            (target / what).parent.mkdir(exist_ok=True)
            (target / what).write_bytes(b"mine")

    with workplace(target) as work:
        publish(clusters, None, work, target, Clock())
    before = snapshot(target)
    with workplace(target) as work, pytest.raises(DataError, match="which no run does, so it is not replaced"):
        publish(clusters, None, work, target, Clock(), write_more=put)
    assert (target / what).exists()
    assert before.items() <= snapshot(target).items()
    assert Clusters.load(target).run["fingerprint"] == "f1"
