import os
import stat
import sys
import time

import pytest

from selfsort.errors import DataError
from selfsort.runtime import Clock, atomic_write, cache_dir, n_threads


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_on_failure_the_old_file_stays_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX file system")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_result_has_the_rights_of_an_ordinary_file(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "a") as temporary:
            temporary.write_bytes(b"1")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
        assert os.umask(umask) == umask  # it is as it was
    finally:
        os.umask(before)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="needs file names of any bytes")
def test_names_of_any_bytes(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9 \n.txt")
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"1")
    assert path.read_bytes() == b"1"


def test_the_cache_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFSORT_CACHE", str(tmp_path / "a" / "b"))
    assert cache_dir() == tmp_path / "a" / "b"
    assert cache_dir().is_dir()


def test_a_cache_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SELFSORT_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="SELFSORT_CACHE"):
        cache_dir()


def test_an_empty_setting_means_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SELFSORT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert tmp_path in cache_dir().parents


def test_n_threads_is_what_this_process_may_use():
    assert 1 <= n_threads() <= os.cpu_count()
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            assert n_threads() == 1
        finally:
            os.sched_setaffinity(0, allowed)


def test_the_clock_adds_up():
    clock, begun = Clock(), time.perf_counter()
    while time.perf_counter() - begun < 0.01:
        pass
    clock("a")
    clock("b")
    clock("a")
    assert list(clock.seconds) == ["a", "b"]
    assert clock.seconds["a"] >= 0.01
    assert sum(clock.seconds.values()) <= time.perf_counter() - begun + 0.002
