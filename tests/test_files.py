import errno
import hashlib
import os
import stat
import subprocess
import sys
import threading

import pytest

from selfsort import files
from selfsort.errors import DataError
from selfsort.files import atomic_write, content_id, hash_file, locked, move_new, sync_folder


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


def test_a_content_has_the_identity_that_sha256sum_prints(tmp_path):
    content = os.urandom(3 << 20) + b"end"
    (tmp_path / "a").write_bytes(content)
    assert content_id(content) == hash_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no call for it")
def test_the_name_is_on_the_disk_after_the_content(tmp_path, monkeypatch):
    calls = []
    sync, replace = os.fsync, os.replace

    def recorded_sync(file):
        calls.append(("sync", "folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file"))
        sync(file)

    def recorded_replace(old, new):
        calls.append(("rename",))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    with atomic_write(tmp_path / "a") as temporary:
        temporary.write_bytes(b"1")
    assert calls == [("sync", "file"), ("rename",), ("sync", "folder")]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no call for it")
def test_a_folder_that_cannot_be_synced_is_no_error_but_a_broken_disk_is(tmp_path, monkeypatch):
    def fail(number):
        def sync(file):
            raise OSError(number, os.strerror(number))

        return sync

    monkeypatch.setattr(os, "fsync", fail(errno.EINVAL))
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", fail(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync_folder(tmp_path)


@pytest.mark.parametrize("whole_folders", [True, False])
def test_one_holder_at_a_time(tmp_path, monkeypatch, whole_folders):
    folder = tmp_path / "x"
    folder.mkdir()
    monkeypatch.setenv("SELFSORT_CACHE", str(tmp_path / "cache"))
    if not whole_folders:
        lock = files._lock

        def only_files(file):  # as network drives do
            if stat.S_ISDIR(os.fstat(file).st_mode):
                raise OSError(errno.EBADF, "not a file")
            lock(file)

        monkeypatch.setattr(files, "_lock", only_files)
    with locked(folder, "busy"):
        with pytest.raises(DataError, match="busy"), locked(tmp_path / "." / "x", "busy"):
            pass
        refused = []

        def other():
            try:
                with locked(folder, "busy"):
                    pass
            except DataError as error:
                refused.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert refused == ["busy"]
        with locked(tmp_path, "another folder"):
            pass
    with locked(folder, "busy"):
        assert list(folder.iterdir()) == []


def test_a_killed_holder_lets_go(tmp_path):
    code = (
        "import sys, time, pathlib; from selfsort.files import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), 'busy'): print(flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        with pytest.raises(DataError, match="busy"), locked(tmp_path, "busy"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with locked(tmp_path, "busy"):
        pass


def test_a_folder_that_was_removed_and_made_again_is_locked_anew(tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    with locked(folder, "busy"):
        folder.rmdir()
        folder.mkdir()
        with locked(folder, "busy"), pytest.raises(DataError, match="busy"), locked(folder, "busy"):
            pass
    with pytest.raises(FileNotFoundError), locked(tmp_path / "absent", "busy"):
        pass


@pytest.mark.parametrize("links_work", [True, False])
def test_moving_into_place_replaces_nothing_on_any_file_system(tmp_path, monkeypatch, links_work):
    if not links_work:
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    (tmp_path / "temporary").write_bytes(b"new")
    (tmp_path / "there").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        move_new(tmp_path / "temporary", tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"old"
    move_new(tmp_path / "temporary", tmp_path / "free")
    assert (tmp_path / "free").read_bytes() == b"new"
