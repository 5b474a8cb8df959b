"""Which user's program is at the other end of a connection on this machine."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from functools import cache
from pathlib import Path

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Where Linux lists all connections of the machine, with whom they belong to; IPv4 can be in both.
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOCAL, _REMOTE, _STATE, _USER = 1, 2, 3, 7
_OPEN = "01"  # of an end that was closed, the user is no longer told


class Connection(H11Protocol):
    """A connection to the server, which has no `client` if it is another user's: asked once, since it takes a while."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Find out whose it is."""
        super().connection_made(transport)
        if self.client is None or self.server is None or is_foreign(self.client, (self.server[0], self.server[1] or 0)):
            self.client = None


def owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return the number of the user who holds a connection's other end.

    Parameters
    ----------
    client, server : tuple of str and int
        IPv4 address and port of the other end, and of ours.

    Returns
    -------
    int or None
        None where that is not told: by other systems than Linux, of what is forwarded from another machine, and of a
        connection that was closed.
    """
    try:
        ends = [f"{_as_listed(host)}:{port:04X}" for host, port in (client, server)]
        texts = [table.read_text() for table in _TABLES if table.exists()]
    except OSError:  # no address, or no right to read
        return None
    for line in (line for text in texts if ends[0] in text for line in text.splitlines() if ends[0] in line):
        fields = line.split()
        here, there, state, user = (fields[i] for i in (_LOCAL, _REMOTE, _STATE, _USER))
        if here.endswith(ends[0]) and there.endswith(ends[1]) and state == _OPEN:
            return int(user)
    return None


def is_foreign(client: tuple[str, int], server: tuple[str, int]) -> bool:
    """Whether a connection is of another user than the one who runs this; root may do all anyway.

    Where the system tells whose connections are, one of this machine that it does not tell of is foreign too: its other
    end was closed, and may have been anybody's.
    """
    user = owner(client, server)
    if user is None:
        return client[0].startswith("127.") and _tells()
    return user not in (0, os.getuid())


@cache
def _tells() -> bool:
    """Whether this system tells whose connections are, which is tried with one of our own."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        return owner(client.getsockname(), server.getsockname()) is not None


def _as_listed(host: str) -> str:
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}"
