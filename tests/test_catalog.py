import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from selfsort import DataError
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.catalog_file import PRIVATE
from selfsort.photos.changes import Scanned


def files(**contents):
    return [Scanned(name, content, 10, 1, "ok" if content else "empty file") for name, content in contents.items()]


@pytest.fixture
def catalog(tmp_path):
    with Catalog(tmp_path / "x.catalog") as opened:
        yield opened


def test_a_scan_tells_what_changed(catalog):
    first = catalog.scan("/a", files(a="1", b="2", c="3", d="4", e="", f="6"))
    assert first.counts() == {"new": 6, "copies": 0, "changed": 0, "moved": 0, "gone": 0, "same": 0}
    second = catalog.scan("/a", files(a="1", b="20", moved="3", e="", copy="1", f2="6", f3="6", g="7"))
    assert second.new == ["g"]
    assert second.changed == ["b"]
    assert second.moved == [("f", "f2"), ("c", "moved")]  # by where they are now
    assert second.copies == ["copy", "f3"]
    assert second.gone == ["d"]
    assert second.n_same == 2
    assert catalog.paths("1") == ["a", "copy"]
    assert catalog.paths("4") == []
    assert catalog.scan("/a", files(d="4")).new == ["d"]
    assert catalog.paths("4") == ["d"]


def test_names_of_any_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9\xff")
    with Catalog(tmp_path / f"{name}.catalog") as catalog:
        catalog.scan(f"/{name}", [Scanned(f"{name}.jpg", "1", 1, None, "ok")])
        assert catalog.paths("1") == [f"{name}.jpg"]
        catalog.append({"do": "rename", "group": 1, "name": name})
        assert catalog.entries()[0][2]["name"] == name


def test_facts_are_kept_until_their_version_changes(catalog):
    catalog.scan("/a", files(a="1", b="2"))
    assert catalog.lacking("looks", 1, ["1", "2"]) == ["1", "2"]
    catalog.add_facts("looks", 1, {"1": {"light": 0.5}})
    assert catalog.lacking("looks", 1, ["1", "2"]) == ["2"]
    assert catalog.lacking("looks", 2, ["1", "2"]) == ["1", "2"]
    assert catalog.facts("looks") == {"1": {"light": 0.5}}
    catalog.add_facts("looks", 2, {"1": None})
    assert catalog.facts("looks") == {"1": None}
    assert catalog.lacking("looks", 2, ["1"]) == []


def test_facts_may_come_before_the_scan(catalog):
    catalog.add_facts("looks", 1, {"2": {"light": 0.5}})
    assert catalog.scan("/a", files(a="1", b="2")).counts()["new"] == 2
    assert catalog.facts("looks") == {"2": {"light": 0.5}}
    assert catalog.paths("2") == ["b"]


def test_texts_are_found_in_any_language_and_place(catalog):
    catalog.scan("/a", files(a="1", b="2", c="3"))
    catalog.add_texts({"1": "Total AMOUNT 12.50 €", "2": "節日快樂 100%", "3": "Straße_1"})
    assert catalog.search("amount total") == ["1"]
    assert catalog.search("快樂") == ["2"]
    assert catalog.search("樂") == ["2"]
    assert catalog.search("100%") == ["2"]
    assert catalog.search("0_") == []
    assert catalog.search("1%5") == catalog.search("mo_nt") == []  # signs that stand for others in SQL
    assert catalog.search("%") == ["2"]
    assert catalog.search("_") == ["3"]
    catalog.add_texts({"3": "Straße_1!"})
    assert catalog.search("!") == ["3"]
    assert catalog.search("1!%") == []
    assert catalog.search("STRASSE_") == ["3"]
    assert catalog.search("  ") == []
    assert catalog.search("'; DROP TABLE texts; --") == []
    catalog.add_texts({"1": "", "2": "other"})
    assert catalog.search("amount") == []
    assert catalog.search("other") == ["2"]


def test_the_log_is_only_added_to(catalog, tmp_path):
    assert [catalog.append({"do": "hide", "pictures": ["1"]}) for _ in range(3)] == [1, 2, 3]
    assert [number for number, _, _ in catalog.entries(after=1)] == [2, 3]
    with sqlite3.connect(tmp_path / "x.catalog") as db:
        for statement in ("DELETE FROM entries", "UPDATE entries SET body = ''"):
            with pytest.raises(sqlite3.IntegrityError, match="only added"):
                db.execute(statement)
    assert len(catalog.entries()) == 3


def test_groupings_of_the_last_runs_are_known_and_keys_never_come_again(catalog):
    catalog.scan("/a", files(a="1", b="2"))
    assert catalog.grouping() == {}
    firsts = []
    for run in range(12):
        firsts.append(catalog.first_key())
        catalog.add_grouping(f"run {run}", {"1": (firsts[-1], firsts[-1]), "2": (-1, 7)})
    assert len(set(firsts)) == 12
    assert catalog.grouping() == {"1": (firsts[-1], firsts[-1]), "2": (-1, 7)}
    assert catalog.grouping("run 0") == {}
    catalog.add_grouping("run 5", {"1": (3, 3)})  # made again: the newest now, with the keys of its new groups
    assert catalog.grouping() == catalog.grouping("run 5") == {"1": (3, 3)}
    assert catalog.first_key() not in firsts
    assert catalog.last_keys() == {"1": 3}


def test_a_backup_is_whole_and_replaces_nothing(catalog, tmp_path):
    catalog.append({"do": "hide", "pictures": ["1"]})
    catalog.backup(tmp_path / "b.catalog")
    with Catalog(tmp_path / "b.catalog", make=False) as copy:
        assert copy.check() == []
        assert copy.entries() == catalog.entries()
    with pytest.raises(DataError, match="replaces nothing"):
        catalog.backup(tmp_path / "b.catalog")


@pytest.fixture
def secrets(catalog):
    """Facts of faces, long enough for pages of their own."""
    catalog.scan("/a", files(a="1", b="2"))
    values = {content: f"secret {content}" * 2000 for content in "12"}
    catalog.add_facts(PRIVATE, 1, values)
    return values


def has_secrets(catalog):
    return any(b"secret" in path.read_bytes() for path in catalog.path.parent.glob("x.catalog*"))


def test_forgetting_fails_where_others_read_what_is_forgotten(catalog, secrets):
    catalog._db.execute("PRAGMA busy_timeout = 100")
    with Catalog(catalog.path) as other:
        other._db.execute("BEGIN")
        assert other.facts(PRIVATE) == secrets
        with pytest.raises(DataError, match=r"can still be read in the file .* Close the page of selfsort review"):
            catalog.forget(PRIVATE)
        with pytest.raises(DataError, match="can still be read"):
            catalog.forget(PRIVATE)
        assert has_secrets(catalog)
        other._db.execute("COMMIT")
        assert catalog.forget(PRIVATE) == 0
        assert not has_secrets(catalog)


def test_forgetting_goes_on_where_it_was_killed(catalog, secrets):
    catalog._db.execute("PRAGMA secure_delete = OFF")  # as catalogs were written before
    catalog._db.execute("DELETE FROM facts")
    catalog._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert has_secrets(catalog)
    assert catalog.forget(PRIVATE) == 0
    assert not has_secrets(catalog)


def test_what_is_deleted_is_overwritten(catalog, secrets):
    catalog.add_facts(PRIVATE, 2, dict.fromkeys(secrets, "x"))
    catalog._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not has_secrets(catalog)


@pytest.mark.skipif(os.name != "posix", reason="no modes here")
def test_a_catalog_with_vectors_of_faces_is_private(catalog, tmp_path):
    def modes():
        return {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}

    catalog.path.chmod(0o644)
    catalog.scan("/a", files(a="1"))
    catalog.add_facts("looks", 1, {"1": {}})
    catalog.backup(tmp_path / "open")
    catalog.add_facts(PRIVATE, 1, {"1": "secret"})
    catalog.backup(tmp_path / "private")
    names = ("x.catalog", "x.catalog-wal", "x.catalog-shm", "private")
    assert modes() == {"open": 0o644, **dict.fromkeys(names, 0o600)}
    (tmp_path / "private").chmod(0o644)
    with Catalog(tmp_path / "private"):
        assert modes()["private"] == 0o600


def test_a_backup_that_cannot_be_written(catalog, tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        catalog.backup(tmp_path / "none/b.catalog")


def test_what_is_no_catalog_is_left_alone(tmp_path):
    with pytest.raises(DataError, match="no catalog"):
        Catalog(tmp_path / "none.catalog", make=False)
    other = tmp_path / "other.catalog"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE mine (a)")
    db.close()
    before = other.read_bytes()
    with pytest.raises(DataError, match="something else"):
        Catalog(other)
    assert other.read_bytes() == before
    text = tmp_path / "text.catalog"
    text.write_bytes(b"not a database at all, but long enough to look like one" * 20)
    with pytest.raises(DataError, match="damaged"):
        Catalog(text)
    with pytest.raises(DataError, match="cannot be used"):
        Catalog(tmp_path)


def test_a_newer_catalog_is_not_touched(tmp_path):
    path = tmp_path / "x.catalog"
    Catalog(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(DataError, match="format 99"):
        Catalog(path)


def test_damage_is_found(tmp_path):
    path = tmp_path / "x.catalog"
    with Catalog(path) as catalog:
        catalog.scan("/a", files(**{f"f{i}": str(i) for i in range(2000)}))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    with Catalog(path) as catalog:
        try:
            problems = catalog.check()
        except DataError:
            problems = ["could not even be read"]
    assert problems


_WRITER = """
import sys
from pathlib import Path
from selfsort.photos.catalog import Catalog
with Catalog(Path(sys.argv[1])) as catalog:
    for i in range(int(sys.argv[2])):
        print(catalog.append({"do": "hide", "pictures": [sys.argv[3], str(i)]}), flush=True)
"""


def writer(path, n, name):
    return subprocess.Popen([sys.executable, "-c", _WRITER, path, str(n), name], stdout=subprocess.PIPE, text=True)


def test_two_processes_write_at_once(tmp_path):
    path = tmp_path / "x.catalog"
    running = [writer(path, 60, name) for name in "ab"]
    assert [process.wait() for process in running] == [0, 0]
    for process in running:
        process.stdout.close()
    with Catalog(path) as catalog:
        bodies = [body["pictures"] for _, _, body in catalog.entries()]
    for name in "ab":
        assert [number for who, number in bodies if who == name] == [str(i) for i in range(60)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_a_kill_loses_nothing_that_was_kept(tmp_path):
    path = tmp_path / "x.catalog"
    process = writer(path, 100_000, "a")
    acknowledged = [int(process.stdout.readline()) for _ in range(25)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with Catalog(path) as catalog:
        assert catalog.check() == []
        kept = [number for number, _, _ in catalog.entries()]
    assert kept[:25] == acknowledged
    assert kept == list(range(1, len(kept) + 1))


def test_where_the_catalog_lies():
    assert catalog_path(Path("/a/holiday.selfsort")) != catalog_path(Path("/a/holiday"))
    assert catalog_path(Path("/a/run")) == Path("/a/run.catalog")


def test_a_catalog_without_the_ending_of_its_run_is_used_on(tmp_path):
    run = tmp_path / "photos.selfsort"
    with Catalog(tmp_path / "photos.catalog"):
        pass
    assert catalog_path(run) == tmp_path / "photos.catalog"
    (tmp_path / "photos").mkdir()  # it may be of this run
    assert catalog_path(run) == tmp_path / "photos.selfsort.catalog"
    assert catalog_path(tmp_path / "photos") == tmp_path / "photos.catalog"


def test_a_catalog_of_the_first_format_is_read_as_it_is_and_gets_what_it_lacks(tmp_path):
    path = tmp_path / "x.catalog"
    with Catalog(path) as catalog:
        number = catalog.append({"do": "rename"})
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE person_names")
        db.execute("ALTER TABLE pictures DROP COLUMN former")
        db.execute("DROP TABLE group_numbers")
        db.execute("PRAGMA user_version=1")
    db.close()
    with Catalog(path, read_only=True) as catalog:
        assert catalog.person_names() == {}
        assert catalog.group_numbers() == {}
        assert catalog.last_entry() == number
    with Catalog(path) as catalog:
        catalog.name_persons({1: "Ann"})
        assert catalog.check() == []
    with Catalog(path, read_only=True) as catalog:
        assert catalog.person_names() == {1: "Ann"}
        assert [entry for _, _, entry in catalog.entries()] == [{"do": "rename"}]


def test_corrections_outlive_a_change_of_identities(catalog):
    old, gone, new = "0" * 32, "1" * 32, "a" * 64
    catalog.scan("/a", files(a=old, copy=old, b=gone))
    catalog.add_facts("looks", 1, {old: {"light": 0.5}})
    catalog.append({"do": "move", "pictures": [old, gone], "group": 1})
    changes = catalog.scan("/a", files(a=new, copy=new))
    assert changes.n_same == 2
    assert catalog.entries()[0][2]["pictures"] == [new, gone]
    assert catalog.facts("looks") == {new: {"light": 0.5}}
    changed = [Scanned("b", "b" * 64, 11, 1, "ok")]  # of another size, so it is another picture
    assert catalog.scan("/a", changed).new == ["b"]
    assert catalog.entries()[0][2]["pictures"] == [new, gone]


@pytest.mark.parametrize("busy", [False, True])
def test_reading_only_writes_nothing_at_all(tmp_path, busy):
    path = tmp_path / "a ?#%20.catalog"
    with pytest.raises(DataError, match="no catalog"):
        Catalog(path, read_only=True)
    with Catalog(path) as writer:
        writer.append({"do": "x"})
        if not busy:
            writer.close()
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm")}
        with Catalog(path, read_only=True) as reader:
            assert [body for _, _, body in reader.entries()] == [{"do": "x"}]
            with pytest.raises(DataError, match="cannot be used"):
                reader.append({"do": "y"})
        after = {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm")}
        assert after == before


def test_reading_only_an_older_catalog_says_what_to_do(tmp_path):
    with Catalog(tmp_path / "x.catalog"):
        pass
    database = sqlite3.connect(tmp_path / "x.catalog")
    database.execute("PRAGMA user_version=0")
    database.close()
    with pytest.raises(DataError, match="older selfsort"):
        Catalog(tmp_path / "x.catalog", read_only=True)
