"""Who may talk to the page: only a browser of this user that was given the address, from the page itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Bytes that a request may hold: of JSON, and of a picture to search by.
MAX_BODY, MAX_PICTURE = 8 << 20, 64 << 20
PICTURE_SEARCH = "/api/search/picture"
TOKEN_HEADER = "x-selfsort-token"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
#: What a person sees who is not let in; it may load nothing.
_STYLE = (
    "html { color-scheme: light dark; font: 1.05rem/1.5 system-ui, sans-serif }"
    "body { max-width: 34rem; margin: 18vh auto; padding: 0 1.2rem }"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_REFUSAL_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"
_HOW = "Open the address that selfsort review printed in the terminal, or start it again."


class Guard:
    """Refuse what does not come from the page, before anything else sees it.

    Programs of other users do not come this far, see `connections.Listener`. The Host must be this machine at our port
    (against names that are made to point here), the Origin the same (against other pages). A browser is let in by an
    address with a secret, and gets a cookie with a secret of its own, which all reading needs; writing needs the token
    in a header too, which other pages cannot set.

    Parameters
    ----------
    app : ASGI application
    token : str
        Opens the page as often as wanted: for the terminal only, since command lines can be read by all users.
    port : int
    once : str, optional
        Opens the page one time: for the command line of a browser.
    """

    def __init__(self, app: App, token: str, port: int, once: str | None = None) -> None:
        self._app, self._token, self._once = app, token, once
        self._session = secrets.token_urlsafe(24)
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self._cookie = f"selfsort-{port}"  # cookies know no ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0].lower() != b"server"]
                names = {name.lower() for name, _ in kept}
                message["headers"] = [*kept, *((n, v) for n, v in _HEADERS if n not in names)]
                if b"cache-control" not in names:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        refused = self._refused(scope, headers)
        if refused:
            await _refuse(scope, answer, *refused)
        elif scope["path"] == "/" and scope["query_string"]:
            await self._let_in(scope, headers, answer)
        else:
            await self._bounded(scope, receive, answer)

    def _refused(self, scope: Scope, headers: dict[str, list[str]]) -> tuple[int, str] | None:
        """Return why a request is refused, with the status; None if it is not."""
        hosts = headers.get("host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return 403, "This page answers only at its own address on this machine."
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in headers.get("origin", [])):
            return 403, "Requests from other pages are refused."
        if any(site not in ("same-origin", "none") for site in headers.get("sec-fetch-site", [])):
            return 403, "Requests from other pages are refused."
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "There is no such request."
        if scope["path"] == "/" and scope["query_string"]:
            return None  # it brings a secret
        if not self._has_session(headers):
            return 403, f"This browser was not let in. {_HOW}"
        if scope["method"] == "POST":
            if not _equal(headers.get(TOKEN_HEADER, [""])[0], self._token):
                return 403, "The token is missing. Reload the page."
            length = headers.get("content-length", ["0"])[0]
            if not length.isdigit() or int(length) > _limit(scope):
                return 413, "The request is too large."
        return None

    async def _let_in(self, scope: Scope, headers: dict[str, list[str]], send: Send) -> None:
        """Exchange the secret of an address for the cookie; who has the cookie needs none."""
        if not self._has_session(headers):
            refused = self._unwelcome(scope)
            if refused:
                await _refuse(scope, send, 403, refused)
                return
        cookie = f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/"
        await _answer(send, 303, "", [(b"location", b"/"), (b"set-cookie", cookie.encode())])

    def _unwelcome(self, scope: Scope) -> str | None:
        """Return why an address does not open the page, None if it does; it is used then."""
        given = parse_qs(scope["query_string"].decode("latin-1"))
        if _equal(given.get("token", [""])[0], self._token):
            return None
        if not given.get("once"):
            return f"This address is not of this run. {_HOW}"
        if self._once is None or not _equal(given["once"][0], self._once):
            return f"This address was used already, or is not of this run: it opens the page one time. {_HOW}"
        self._once = None
        return None

    def _has_session(self, headers: dict[str, list[str]]) -> bool:
        return any(_equal(value, self._session) for value in _cookies(headers, self._cookie))

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, but not more of it than is allowed, whatever its head says."""
        seen, started = 0, False

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > _limit(scope):
                raise _TooLargeError
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, bounded, watched)
        except _TooLargeError:
            if not started:
                await _answer(send, 413, "The request is too large.")


class _TooLargeError(Exception):
    pass


def _equal(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _limit(scope: Scope) -> int:
    return MAX_PICTURE if scope["path"] == PICTURE_SEARCH else MAX_BODY


def _cookies(headers: dict[str, list[str]], name: str) -> list[str]:
    """Return all of a name: others on this machine may have set any nonsense beside ours."""
    parts = [part.strip().partition("=") for line in headers.get("cookie", []) for part in line.split(";")]
    return [value for key, _, value in parts if key == name]


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    """Say why: to a person on a page, to a script as plain text."""
    if scope["path"] != "/":
        await _answer(send, status, text)
        return
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>selfsort</title><style>{_STYLE}</style><h1>Not opened</h1><p>{html.escape(text)}</p></html>"
    )
    policy = (b"content-security-policy", _REFUSAL_POLICY.encode())
    await _answer(send, status, page, [policy], kind=b"text/html")


async def _answer(
    send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None, *, kind: bytes = b"text/plain"
) -> None:
    head = [(b"content-type", kind + b"; charset=utf-8"), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": text.encode()})
