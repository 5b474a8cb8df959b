"""Data sets that are not on the machine: downloaded from a server of the test, or one line that says what to do."""

import dataclasses
import gzip
import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from dataset_files import NO_SERVER, assert_is, cifar_10_files, idx_files, isolate, write_tar
from selfsort.datasets import load_dataset
from selfsort.datasets.catalog import SPECS
from selfsort.errors import DataError


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    return isolate(tmp_path, monkeypatch)


class Server:
    """Serves what `pages` holds: bytes, or a function of the handler."""

    def __init__(self):
        self.pages, self.asked = {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                page = outer.pages.get(self.path)
                if callable(page):
                    page(self)
                elif page is None:
                    self.send_error(404)
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(page)))
                    self.end_headers()
                    self.wfile.write(page)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    """A server with a small MNIST, whose second address is the right one."""
    server = Server()
    files, server.content = idx_files()
    server.pages = {f"/good/{name}.gz": gzip.compress(content) for name, content in files.items()}
    md5 = {Path(path).name: hashlib.md5(page).hexdigest() for path, page in server.pages.items()}
    mirrors = (f"{server.address}bad/", f"{server.address}good/")
    monkeypatch.setitem(SPECS, "mnist", dataclasses.replace(SPECS["mnist"], mirrors=mirrors, md5=md5))
    yield server
    server.http.shutdown()
    server.http.server_close()


def test_a_download_is_made_once_and_from_any_mirror(server, tmp_path):
    reports = []
    loaded = load_dataset("mnist", "test", progress=lambda *report: reports.append(report))
    assert_is(loaded, *(part[6:] for part in server.content))
    names = ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    assert server.asked == [f"/{mirror}/{name}" for name in names for mirror in ("bad", "good")]
    size = len(server.pages[f"/good/{names[1]}"])
    assert reports[-1] == ("download", size, size)
    assert_is(load_dataset("mnist"), *server.content)
    n_asked = len(server.asked)
    assert n_asked == 8
    assert_is(load_dataset("mnist"), *server.content)
    assert len(server.asked) == n_asked
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 4


def test_a_downloaded_archive(server, tmp_path, monkeypatch):
    files, content = cifar_10_files()
    page = write_tar(tmp_path / "made.tar.gz", "cifar-10-batches-bin", files).read_bytes()
    server.pages["/cifar-10-binary.tar.gz"] = page
    spec = dataclasses.replace(
        SPECS["cifar-10"], mirrors=(server.address,), md5={"cifar-10-binary.tar.gz": hashlib.md5(page).hexdigest()}
    )
    monkeypatch.setitem(SPECS, "cifar-10", spec)
    assert_is(load_dataset("cifar-10"), *content)
    assert [path.name for path in (tmp_path / "cache/datasets/cifar-10").iterdir()] == ["cifar-10-binary.tar.gz"]


def cut(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(bytes(600))


def cut_chunks(handler):
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"258\r\n" + bytes(600))
    handler.close_connection = True


def elsewhere(handler):
    handler.send_response(302)
    handler.send_header("Location", "https://127.0.0.1:9/")
    handler.end_headers()


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (b"<html>log in first</html>", "its MD5 is c92b6325b3943a5d71e351992b3033ad and should be"),
        (cut, "the connection broke after 600 of 1,000 bytes"),
        (cut_chunks, "IncompleteRead"),
        (bytes((32 << 20) + 1), "larger than 33,554,432 bytes"),
        (elsewhere, "it leads to https://127.0.0.1:9/"),
        (lambda handler: handler.connection.close(), "closed connection"),
        (None, "HTTP Error 404: Not Found"),
    ],
)
def test_a_download_that_fails_leaves_nothing(server, tmp_path, page, message):
    server.pages["/good/t10k-images-idx3-ubyte.gz"] = page
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("mnist", "test")
    assert f"{server.address}good/t10k-images-idx3-ubyte.gz: " in str(caught.value)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("where", ["set", "not there", None])
def test_what_is_nowhere_is_one_line_with_every_place(root, tmp_path, monkeypatch, where):
    if where is None:
        monkeypatch.delenv("SELFSORT_DATA")
    elif where == "not there":
        monkeypatch.setenv("SELFSORT_DATA", str(tmp_path / where))
    with pytest.raises(DataError) as caught:
        load_dataset("fashion-mnist", "test")
    message = str(caught.value)
    assert "\n" not in message
    shown = {
        "set": f"SELFSORT_DATA={root},",
        "not there": "not there (not a folder)",
        None: "SELFSORT_DATA (not set)",
    }
    assert shown[where] in message
    cache = tmp_path / "cache/datasets/fashion-mnist"
    assert f"{cache} or {tmp_path}/system/fashion-mnist" in message
    assert f"{NO_SERVER}t10k-images-idx3-ubyte.gz: connection refused" in message
    assert f"Put t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz into {cache}" in message


def test_a_folder_that_cannot_be_searched(monkeypatch):
    monkeypatch.setenv("SELFSORT_DATA", "x" * 5000)
    with pytest.raises(DataError, match=r"MNIST cannot be looked for: x.*file name too long. Check SELFSORT_DATA"):
        load_dataset("mnist")


def test_a_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/datasets").touch()
    with pytest.raises(DataError, match="cache/datasets/mnist cannot be made: not a directory"):
        load_dataset("mnist")
