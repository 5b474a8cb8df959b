import os
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest

from selfsort.errors import DataError
from selfsort.features.cache import Cache, Entry
from selfsort.runtime import write_ahead


def entry(number, d=4):
    return Entry(f"id{number}", "ok", 3, 4, "PNG", np.full(d, number, np.float16), b"jpeg%d" % number)


def same(a, b):
    facts = ("id", "status", "width", "height", "format", "thumbnail")
    return all(getattr(a, f) == getattr(b, f) for f in facts) and np.array_equal(a.features, b.features)


def test_what_is_added_is_found_again(tmp_path):
    path = tmp_path / "cache.sqlite"
    with Cache(path) as cache:
        cache.add("e", [entry(1), Entry("id2", "empty file")], [(b"/a\xff\n", "10:1", "id1")])
        cache.add("other", [entry(3)], [])
    with Cache(path) as cache:
        assert cache.known_ids("e") == {"id1", "id2"}
        assert cache.known_ids("other") == {"id3"}
        assert cache.known_ids("nothing") == set()
        assert cache.known_files([b"/a\xff\n", b"/b"]) == {b"/a\xff\n": ("10:1", "id1")}
        found = {e.id: e for e in cache.entries("e", ["id1", "id2", "id3"])}
        assert set(found) == {"id1", "id2"}
        assert same(found["id1"], entry(1))
        assert found["id1"].features.dtype == np.float16
        assert (found["id2"].status, found["id2"].features, found["id2"].thumbnail) == ("empty file", None, None)


def test_more_than_one_query_can_ask(tmp_path):
    with Cache(tmp_path / "c") as cache:
        n = 1777
        cache.add("e", [entry(i) for i in range(n)], [(b"%d" % i, "s", f"id{i}") for i in range(n)])
        assert len(list(cache.entries("e", [f"id{i}" for i in range(n + 5)]))) == n
        assert len(cache.known_files([b"%d" % i for i in range(n)])) == n


def test_a_new_stamp_takes_the_place_of_the_old(tmp_path):
    with Cache(tmp_path / "c") as cache:
        cache.add("e", [entry(1)], [(b"/a", "old", "id1")])
        cache.add("e", [entry(2)], [(b"/a", "new", "id2")])
        assert cache.known_files([b"/a"]) == {b"/a": ("new", "id2")}


def test_the_default_place_is_the_cache_folder(fresh_cache):
    with Cache() as cache:
        assert cache.path == fresh_cache / "cache.sqlite"


def filled(path, n=400):
    with Cache(path) as cache:
        cache.add("e", [entry(i, 500) for i in range(n)], [(b"/pictures/%d" % i, "s", f"id{i}") for i in range(n)])


def use(path):
    with Cache(path) as cache:
        cache.known_files([b"/pictures/%d" % i for i in range(400)])
        cache.known_ids("e")
        list(cache.entries("e", [f"id{i}" for i in range(400)]))
        cache.add("e", [entry(i, 500) for i in range(1000, 1100)], [])


@pytest.mark.parametrize(
    "content", [b"this is not a database, and longer than a header " * 9, b"SQLite format 3\0" * 99]
)
def test_a_file_that_is_no_cache(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(DataError, match="delete it"):
        use(tmp_path / "c")


@pytest.mark.parametrize("seed", range(8))
def test_a_cache_with_damaged_pages(tmp_path, seed):
    """Wherever the damage lies, it is found or it does no harm; never a traceback of the database."""
    path = tmp_path / "c"
    filled(path)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for page in rng.choice(np.arange(1, len(content) // 4096), 40, replace=False):
        content[page * 4096 : page * 4096 + 4096] = rng.bytes(4096)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cache"):
        use(path)


def test_a_cache_cut_short(tmp_path):
    path = tmp_path / "c"
    filled(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match="cache"):
        use(path)


def test_a_cache_of_another_layout(tmp_path):
    with sqlite3.connect(tmp_path / "c") as db:
        db.execute("CREATE TABLE files (name TEXT)")
        db.execute("CREATE TABLE pictures (name TEXT)")
    db.close()
    with pytest.raises(DataError, match="cache"):
        use(tmp_path / "c")


def test_a_cache_in_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="SELFSORT_CACHE"):
        Cache(tmp_path / "nowhere" / "c")


WRITER = """
import sys, numpy as np
from pathlib import Path
from selfsort.features.cache import Cache, Entry
from selfsort.runtime import write_ahead
for start in range(int(sys.argv[2]), int(sys.argv[2]) + 300, 10):
    with Cache(Path(sys.argv[1])) as cache:
        features = {i: np.full(9, i, np.float16) for i in range(start, start + 10)}
        cache.add("e", [Entry(f"id{i}", "ok", 1, 1, "", x, b"t") for i, x in features.items()], [])
"""


def test_several_processes_write_at_once(tmp_path):
    path = tmp_path / "c"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(150 * i)]) for i in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    with Cache(path) as cache:
        found = list(cache.entries("e", sorted(cache.known_ids("e"))))
    assert len(found) == 600
    assert all((e.features == int(e.id[2:])).all() for e in found)


def test_what_a_killed_process_had_stored_is_there(tmp_path):
    path = tmp_path / "c"
    script = WRITER + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", script, str(path), "0"], check=False)
    with Cache(path) as cache:
        assert len(cache.known_ids("e")) == 300


def test_a_process_that_switches_at_the_same_time_is_waited_for(tmp_path):
    path = tmp_path / "c"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN EXCLUSIVE")
    ours = sqlite3.connect(path, timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        write_ahead(ours, seconds=0.1)
    threading.Timer(0.2, lambda: other.execute("COMMIT")).start()
    write_ahead(ours)
    assert ours.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    ours.close()
    other.close()
