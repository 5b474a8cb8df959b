"""The server of the review page: whom and what it refuses."""

import http.client
import os
import socket
import sys
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from answers import HOME, PORT, TOKEN, post, stamp, version
from browsing import served
from selfsort.app import peers
from selfsort.app.guard import MAX_BODY
from selfsort.app.peers import is_foreign, owner
from selfsort.app.server import create_app
from selfsort.clusters import Clusters

REFUSED = [
    ("GET", "/api/groups", {"host": "evil.example"}),
    ("GET", "/api/groups", {"host": f"127.0.0.1:{PORT + 1}"}),
    ("GET", "/", {"host": "evil.example:8765"}),
    ("GET", "/api/groups", {"origin": "http://evil.example"}),
    ("GET", "/picture/0/tile", {"origin": "null"}),
    ("GET", "/api/groups", {"sec-fetch-site": "cross-site"}),
    ("GET", "/api/groups", {"sec-fetch-site": "same-site"}),
    ("POST", "/api/undo", {"origin": f"http://localhost:{PORT}"}),
    ("POST", "/api/undo", {"x-selfsort-token": "wrong"}),
    ("POST", "/api/undo", {"x-selfsort-token": ""}),
    ("POST", "/api/undo", {"content-length": str(MAX_BODY + 1)}),
    ("POST", "/api/undo", {"content-length": "-1"}),
    ("GET", "/api/groups", {"cookie": f"selfsort-{PORT}=wrong"}),
    ("PUT", "/api/undo", {}),
    ("DELETE", "/api/groups", {}),
    ("OPTIONS", "/api/groups", {}),
]


@pytest.mark.parametrize(("method", "path", "headers"), REFUSED)
def test_refused(page, own_run, method, path, headers):
    rows = [int(np.flatnonzero(Clusters.load(own_run).ok)[0])]
    post(page, "correct", do="hide", rows=rows)
    before = version(page)
    answer = page.request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
    assert answer.status_code in (403, 405, 413)
    assert TOKEN not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert version(page) == before


def test_without_a_token_nothing_is_told(app):
    with TestClient(app, base_url=HOME) as stranger:
        for path in (
            "/",
            "/?token=wrong",
            "/?once=",
            "/?once=wrong",
            "/?x",
            "/static/main.js",
            "/api/groups",
            "/picture/0/small",
            "/api/now",
            "/nothing",
        ):
            answer = stranger.get(path)
            assert answer.status_code == 403
            assert TOKEN not in answer.text
            assert "Open the address that selfsort review printed" in answer.text
            assert not stranger.cookies
        assert stranger.post("/api/undo", json={}, headers={"x-selfsort-token": TOKEN}).status_code == 403


def test_the_address_of_the_terminal_lets_in_again_and_again(app):
    for _ in range(2):
        with TestClient(app, base_url=HOME) as page:
            answer = page.get(f"/?token={TOKEN}", follow_redirects=False)
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            cookie = answer.headers["set-cookie"]
            assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
            assert TOKEN not in cookie
            assert page.get("/api/now").status_code == 200


def test_the_address_of_a_command_line_lets_in_once(own_run):
    app = create_app(own_run, token=TOKEN, port=PORT, once="secret")
    with TestClient(app, base_url=HOME) as page:
        assert page.get("/?once=wrong").status_code == 403  # and does not use it up
        answer = page.get("/?once=secret")
        assert (answer.status_code, answer.url.query) == (200, b"")
        assert page.get("/?once=secret").url.query == b""  # who is in stays in
        page.cookies.clear()
        late = page.get("/?once=secret")
        assert late.status_code == 403
        assert "used already" in late.text
        assert not page.cookies
        for secret in ("secret", TOKEN):  # neither is what the cookie holds
            assert page.get("/api/now", headers={"cookie": f"selfsort-{PORT}={secret}"}).status_code == 403
        assert page.get(f"/?token={TOKEN}").status_code == 200


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell whose a connection is")


@LINUX
@pytest.mark.parametrize("way", [peers._ask, peers._look_up])
def test_whose_a_connection_is(way, monkeypatch):
    monkeypatch.setattr(peers, "_how_told", lambda: way)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ends = client.getsockname(), server.getsockname()
        assert owner(*ends) == os.getuid()
        assert not is_foreign(*ends)
        assert owner(server.getsockname(), server.getsockname()) is None  # it listens only
        for nobody in (("127.0.0.1", 1), ("testclient", 1)):
            assert owner(nobody, server.getsockname()) is None
        assert is_foreign(("127.0.0.1", 1), server.getsockname())
        assert not is_foreign(("testclient", 1), server.getsockname())
        ours, _ = server.accept()
        client.close()
        assert is_foreign(*ends)  # whose it was is no longer told
        ours.close()


@LINUX
@pytest.mark.parametrize("way", [peers._ask, peers._look_up])
def test_whose_a_connection_over_ipv6_is(way, monkeypatch):
    monkeypatch.setattr(peers, "_how_told", lambda: way)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET6) as client:
        try:
            client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
        except OSError:
            pytest.skip("no IPv6 here")
        assert owner(("127.0.0.1", client.getsockname()[1]), server.getsockname()) == os.getuid()


def test_whose_a_connection_is_as_linux_lists_it(tmp_path, monkeypatch):
    table = tmp_path / "tcp"
    line = "   1: 0100007F:9C40 0100007F:1F90 {} 00000000:00000000 00:00000000 00000000 {}        0 1 1 0"
    monkeypatch.setattr(peers, "_TABLES", (tmp_path / "absent", table))
    ends = ("127.0.0.1", 40000), ("127.0.0.1", 8080)
    monkeypatch.setattr(peers, "_as_listed", lambda host: "0100007F")  # as this kind of processor has it
    monkeypatch.setattr(peers, "_how_told", lambda: peers._look_up)
    for state, user, foreign in (("01", os.getuid(), False), ("01", 0, False), ("01", 4321, True), ("06", 0, True)):
        table.write_text("head\n" + line.format(state, user) + "\n")
        assert is_foreign(*ends) == foreign
    monkeypatch.setattr(peers, "_how_told", lambda: None)
    assert not is_foreign(*ends)  # a system whose list lacks connections, or that has none


@LINUX
def test_a_kernel_that_cannot_be_asked_has_lists(monkeypatch):
    def ask(client, server):
        raise PermissionError

    monkeypatch.setattr(peers, "_ask", ask)
    monkeypatch.setattr(peers, "_how_told", peers._how_told.__wrapped__)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert not is_foreign(client.getsockname(), server.getsockname())
        assert is_foreign(("127.0.0.1", 1), server.getsockname())


def knock(address, user, headers=()):
    """Open an address by a connection of some user; return status and text."""
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname, where.port)
    os.seteuid(user)
    try:
        connection.sock = socket.socket()  # from now on it is that user's
    finally:
        os.seteuid(0)
    connection.sock.settimeout(20)
    connection.sock.connect((where.hostname, where.port))
    connection.request("GET", f"/?{where.query}", headers=dict(headers))
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can be another user")
def test_another_user_who_read_the_address_is_refused(own_run):
    with served(own_run) as (_, address):
        for headers in ({}, {"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1"}):
            with pytest.raises(ConnectionError):
                knock(address, 65534, headers)
        assert knock(address, 0)[0] == 303


def test_foreign_cookies_do_no_harm(app):
    with TestClient(app, base_url=HOME) as page:
        page.get(f"/?token={TOKEN}")
        mine = f"selfsort-{PORT}={page.cookies[f'selfsort-{PORT}']}"
        page.cookies.clear()
        for other in ("foo@bar=1", 'a={"b": [1, 2]}', "x y=1", "=", ";;"):
            assert page.get("/api/now", headers={"cookie": f"{other}; {mine}"}).status_code == 200
            assert page.get("/api/now", headers={"cookie": other}).status_code == 403


BAD = [
    ("correct", {}),
    ("correct", {"do": "explode", "rows": [0]}),
    ("correct", {"do": "move", "rows": ["0"], "keys": [1]}),
    ("correct", {"do": "move", "rows": [0], "keys": [123]}),
    ("correct", {"do": "move", "rows": [10**9], "keys": [1]}),
    ("correct", {"do": "move", "rows": [-1], "keys": [1]}),
    ("correct", {"do": "move", "rows": [], "keys": [1]}),
    ("correct", {"do": "rename", "keys": [], "name": "x"}),
    ("correct", {"do": "rename", "keys": [-1], "name": "x"}),
    ("correct", {"do": "hide", "rows": [0], "more": 1}),
    ("correct", {"do": "hide", "rows": [0] * 1_000_001}),
    ("correct", {"do": "rename", "keys": [1], "name": "x" * 2000}),
    ("split", {"key": 12}),
    ("undo", {"number": 77}),
    ("redo", {"number": "x"}),
    ("regroup", {"groups": 0}),
    ("export", {"mode": "burn", "destination": "/x"}),
    ("export", {"mode": "copy", "destination": "~nobody-of-this-name/x"}),
    ("trash", {"rows": [-5]}),
]


@pytest.mark.parametrize(("path", "body"), BAD)
def test_wrong_requests_change_nothing(page, path, body):
    before = version(page)
    if path in ("correct", "split", "trash"):
        body = {"run": stamp(page), **body}
    answer = page.post(f"/api/{path}", json=body)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]
    assert version(page) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"number": 1e400}', b"null", b"[" * 20_000])
def test_bodies_that_are_no_json(page, content):
    answer = page.post("/api/undo", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)


def test_a_body_longer_than_it_says(page):
    def chunks():
        for _ in range(20):
            yield b" " * (1 << 20)

    answer = page.post("/api/undo", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code in (400, 413)
