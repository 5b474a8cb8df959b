"""Limits of the review page's server: whose connections it accepts, how many, and how long it waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import time
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from selfsort.app.peers import is_foreign

try:
    import resource
except ModuleNotFoundError:  # on Windows, where the limit is of another kind
    resource = None  # type: ignore[assignment]

#: Connections that may be open at a time. A browser opens six, and a few more in advance.
MAX_OPEN = 128
#: Seconds that the server waits for a peer: until the head of a request is complete, until its body is, and until the
#: answer is read.
PATIENCE = {"head": 10.0, "body": 30.0, "answer": 30.0}
#: How many connections the system queues until they are accepted, and how many of them one turn of the event loop
#: accepts: few, so that requests are answered between turns.
_QUEUE, PER_TURN = 4096, 16
_REFUSED_PER_TURN = 64
#: Bytes of unread answers that the system buffers for a connection; its own limit is megabytes.
_UNREAD = 1 << 18
#: Files that the process may have open: enough for all connections, pictures and databases.
_FILES = 4096
_CHECK_EVERY = 1.0  # seconds


class Listener(socket.socket):
    """A listening socket that drops connections of other users of this machine as soon as they are accepted."""

    def listen(self, backlog: int = _QUEUE, /) -> None:
        """Listen with a long queue: the event loop asks for one as short as what it accepts in a turn."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)
        super().listen(max(backlog, _QUEUE))

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection of this user, and its address.

        Raises
        ------
        BlockingIOError
            The queue is empty, or many connections were dropped and the event loop needs its turn.
        """
        here = self.getsockname()
        for _ in range(_REFUSED_PER_TURN):
            connection, peer = super().accept()
            if not is_foreign(peer, here):
                return connection, peer
            _forget(connection)
            connection.close()
        raise BlockingIOError


class Connection(H11Protocol):
    """A connection that is dropped when its peer keeps the server waiting, or when a new one needs its place."""

    _open: ClassVar[dict[Connection, None]] = {}  # the least recently used first
    _waits: tuple[str, object] | None = None  # see `_waits_for`
    _since = 0.0
    _checking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place; if none is free, drop the least recently used connection that waits for its peer."""
        super().connection_made(transport)
        self._check()
        if len(self._open) >= n_places():
            next((each for each in self._open if each._waits_for()), self).drop()
        if not transport.is_closing():
            self._open[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place."""
        self._open.pop(self, None)
        if self._checking is not None:
            self._checking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle what the peer sent; drop it if it breaks the protocol when an answer is no longer possible."""
        before = self.cycle
        try:
            super().data_received(data)
        except h11.LocalProtocolError:
            self.drop()
        if self.cycle is not before and self in self._open:
            self._open[self] = self._open.pop(self)

    def drop(self) -> None:
        """Close the connection at once and discard what was not sent yet."""
        self._open.pop(self, None)  # now, because the event loop closes it later
        _forget(self.transport.get_extra_info("socket"))
        self.transport.abort()

    def _waits_for(self) -> tuple[str, object] | None:
        """Return what the server waits for and in which request; None while the server itself is at work."""
        if self.transport.get_write_buffer_size():
            return "answer", self.cycle
        if self.cycle is None or self.cycle.response_complete:  # also while the rest of a refused body arrives
            return "head", self.cycle
        return ("body", self.cycle) if self.cycle.more_body else None

    def _check(self) -> None:
        now, waits = time.monotonic(), self._waits_for()
        if waits != self._waits:
            self._waits, self._since = waits, now
        if waits is not None and now - self._since > PATIENCE[waits[0]]:
            self.drop()
        else:
            self._checking = self.loop.call_later(_CHECK_EVERY, self._check)


def _forget(connection: Any) -> None:
    """Make the system discard all state of a connection when it is closed."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def allow_files() -> None:
    """Raise the limit of open files of this process, as far as the system permits."""
    now, most = _files()
    if now < min(_FILES, most):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(min(_FILES, most)), int(most) if most < math.inf else -1))


def n_places() -> int:
    """Return how many connections may be open; where the limit of open files is low, a quarter of it."""
    return int(min(MAX_OPEN, _files()[0] // 4))


def _files() -> tuple[float, float]:
    """Return the limit of open files, and how far this process may raise it."""
    if resource is None:
        return math.inf, math.inf
    now, most = (math.inf if n == resource.RLIM_INFINITY else n for n in resource.getrlimit(resource.RLIMIT_NOFILE))
    return now, most
