import os
import time

import pytest

from selfsort.errors import DataError
from selfsort.runtime import Clock, cache_dir, n_threads


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
