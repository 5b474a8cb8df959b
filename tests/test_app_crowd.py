"""The server of the review page, when programs open many connections and do not use them as a browser does."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi")
from browsing import served
from selfsort.app.connections import MAX_OPEN

N = 900
HEAD = b"GET /?token=wrong HTTP/1.1\r\nHost: 127.0.0.1\r\n"
#: What a peer may send before it falls silent; of another kind is one that sends a byte now and then.
SILENT = {
    "nothing": b"",
    "half a head": HEAD,
    "one answer, then half a head": HEAD + b"\r\n" + HEAD,
    "half a body": b"POST /api/undo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{",
    "half a chunk": b"POST /api/undo HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{",
}
#: Another user's program: it opens connections, says how many of them the server closed, and waits.
CROWD = """
import encodings.idna, os, socket, sys, time
os.setuid(int(sys.argv[1]))
where, n, words = ("127.0.0.1", int(sys.argv[2])), int(sys.argv[3]), sys.argv[4].encode("latin-1")
crowd = []
for _ in range(n):
    try:
        crowd.append(socket.create_connection(where, 5))
        crowd[-1].sendall(words)
    except ConnectionError:
        pass
closed = n - len(crowd)
for one in crowd:
    try:
        closed += not one.recv(100)
    except ConnectionError:
        closed += 1
print(closed, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def server(reviewed, tmp_path_factory):
    """The command, and the address that it prints."""
    with served(reviewed / "run") as found:
        yield found


def ask(address, *, path=None, timeout=20):
    """Open the page by a new connection; return the status and the seconds that it took."""
    where = urlsplit(address)
    start = time.perf_counter()
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)
    connection.request("GET", path or f"/?{where.query}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, time.perf_counter() - start


@contextlib.contextmanager
def crowd(address, words, n=N):
    """Open many connections, each with a few words, and keep them."""
    where = urlsplit(address)
    everybody = []
    try:
        for _ in range(n):
            everybody.append(socket.socket())
            everybody[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # less is sent before anybody must read
            everybody[-1].settimeout(20)
            everybody[-1].connect((where.hostname, where.port))
            with contextlib.suppress(ConnectionError, TimeoutError):  # it had to make room, or nobody reads that much
                everybody[-1].settimeout(0.2)
                everybody[-1].sendall(words)
        yield everybody
    finally:
        for one in everybody:
            one.close()


def n_open(server):
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def request_of_much(address):
    """Return a request whose answer is long, as a browser that was let in sends it."""
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname, where.port)
    connection.request("GET", f"/?{where.query}")
    cookie = connection.getresponse().headers["set-cookie"].partition(";")[0]
    connection.close()
    head = f"GET /static/countries-110m.json HTTP/1.1\r\nHost: {where.netloc}\r\nCookie: {cookie}\r\n\r\n"
    return head.encode()


def is_prompt(address):
    """Whether the page answers within a second; one other second is the machine's."""
    times = [ask(address) for _ in range(4)]
    assert {status for status, _ in times} == {303}
    return sorted(seconds for _, seconds in times)[-2] < 1


@pytest.mark.parametrize("words", SILENT.values(), ids=SILENT)
def test_many_connections_do_not_keep_the_page_from_answering(server, words):
    with crowd(server[1], words):
        ask(server[1])  # what waited to be accepted has its turn first
        assert is_prompt(server[1])
        if sys.platform == "linux":
            assert n_open(server[0]) < MAX_OPEN + 100


def test_many_connections_that_send_a_byte_now_and_then(server):
    with crowd(server[1], HEAD) as everybody:
        for _ in range(3):
            for one in everybody:
                with contextlib.suppress(ConnectionError):
                    one.send(b"x")
            assert ask(server[1])[0] == 303
        assert is_prompt(server[1])


def test_many_connections_that_never_read_their_answer(server):
    with crowd(server[1], request_of_much(server[1]) * 20, n=200):
        ask(server[1])
        assert is_prompt(server[1])


def test_many_requests_at_once_let_others_have_their_turn(server):
    with crowd(server[1], (HEAD + b"\r\n") * 500, n=10):
        assert is_prompt(server[1])


BROKEN = {
    "a head that never ends": HEAD + b"x: " + b"y" * 100_000,
    "many short lines": HEAD + b"x: y\r\n" * 20_000,
    "no request": b"\x16\x03\x01" + bytes(500),
    "a broken chunk": SILENT["half a chunk"] + b"\r\nnonsense" * 100,
}


@pytest.mark.parametrize("words", BROKEN.values(), ids=BROKEN)
def test_what_is_no_request_ends_at_once(server, words):
    with crowd(server[1], words, n=3) as everybody:
        start = time.monotonic()
        while not all(is_closed(one, b"", read=True) for one in everybody):
            assert time.monotonic() - start < 5
    assert is_prompt(server[1])


#: What a peer sends at first, and then again and again.
SLOW = {name: (words, b"") for name, words in SILENT.items()} | {
    "a head, byte by byte": (HEAD, b"x"),
    "a head after an answer, byte by byte": (SILENT["one answer, then half a head"], b"x"),
    "a body, byte by byte": (SILENT["half a body"], b" "),
    "a body without an end": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}


def test_a_peer_that_keeps_the_server_waiting_is_dropped(reviewed, tmp_path):
    program = tmp_path / "hasty.py"
    program.write_text(
        "from selfsort.app import connections\nfrom selfsort.cli import main\n"
        "connections.PATIENCE.update(head=1.0, body=1.0, answer=1.0)\nmain()\n"
    )
    with served(reviewed / "run", program=[str(program)]) as (_, address), contextlib.ExitStack() as stack:
        open_ = {name: stack.enter_context(crowd(address, first, n=1))[0] for name, (first, _) in SLOW.items()}
        unread = (request_of_much(address), b"x")
        open_["an answer, unread"] = stack.enter_context(crowd(address, unread[0] * 20, n=1))[0]
        start = time.monotonic()
        while open_ and time.monotonic() - start < 8:
            time.sleep(0.2)
            for name, one in list(open_.items()):
                if is_closed(one, (SLOW | {"an answer, unread": unread})[name][1], read="unread" not in name):
                    assert time.monotonic() - start > 0.5, name
                    del open_[name]
        assert not open_
        assert ask(address)[0] == 303


def is_closed(one, words, *, read):
    """Whether a connection was closed: tried by sending, and by reading what came."""
    one.settimeout(0.01)
    try:
        one.sendall(words)
        while read:
            if not one.recv(1 << 16):
                return True
    except TimeoutError:
        pass
    except ConnectionError:
        return True
    return False


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("words", [b"", HEAD + b"\r\n"], ids=["silent", "asking"])
def test_connections_of_other_users_are_dropped_before_they_are_heard(server, words):
    before = n_open(server[0])
    command = [sys.executable, "-c", CROWD, "65534", str(urlsplit(server[1]).port), str(N), words.decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as others:
        try:
            assert int(others.stdout.readline()) == N  # none was answered
            assert is_prompt(server[1])
            assert n_open(server[0]) < before + 10
        finally:
            others.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the list of open files")
def test_a_server_that_may_open_few_files_goes_on(reviewed):
    import resource

    with served(reviewed / "run", before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))) as found:
        with crowd(found[1], HEAD):
            assert ask(found[1])[0] == 303
        assert is_prompt(found[1])


@pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of a process")
def test_as_many_files_as_it_needs(server):
    import resource

    now, most = resource.prlimit(server[0].pid, resource.RLIMIT_NOFILE)
    assert now >= min(4096, most)
