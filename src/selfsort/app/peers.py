"""Find the user who owns the other end of a local connection."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

Address = tuple[str, int]

#: Query of one connection on Linux (`man 7 sock_diag`); constants from linux/netlink.h and sock_diag.h.
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_HEADER, _WHAT, _ENDS, _ANY = "=IHHII", "=BBBxI", "!HH4s12x4s12x", struct.pack("=III", 0, 2**32 - 1, 2**32 - 1)
_STATE_AT = struct.calcsize(_HEADER) + 1
_USER_AT = struct.calcsize(_HEADER) + 4 + struct.calcsize(_ENDS) + len(_ANY) + 12
#: Tables of all connections; IPv4 connections may be in either.
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOCAL, _REMOTE, _STATE, _USER = 1, 2, 3, 7
_ESTABLISHED = 1  # the kernel no longer reports the user of a closed end
_numbers = (number % 2**32 for number in itertools.count(1))  # sequence numbers of queries


def owner(client: Address, server: Address) -> int | None:
    """Return the user ID of the owner of a connection's other end.

    Parameters
    ----------
    client, server : tuple of str and int
        IPv4 address and port of the other end, and of this end.

    Returns
    -------
    int or None
        None if unknown: on systems other than Linux, for connections forwarded from another machine, and for closed
        connections.
    """
    tell = _how_told()
    try:
        return tell(client, server) if tell else None
    except OSError:  # not an IPv4 address
        return None


def is_foreign(client: Address, server: Address) -> bool:
    """Tell whether a connection belongs to another user; root never counts as foreign.

    If the system reports owners, a local connection without an owner is foreign, too: its other end was closed and may
    have been anybody's.
    """
    user = owner(client, server)
    if user is None:
        return client[0].startswith("127.") and _how_told() is not None
    return user not in (0, os.getuid())


@cache
def _how_told() -> Callable[[Address, Address], int | None] | None:
    """Return the function that works on this system for finding a connection's owner; None if there is none."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        for way in (_ask, _look_up):
            try:
                if way(client.getsockname(), server.getsockname()) is not None:
                    return way
            except OSError:
                continue
    return None


def _ask(client: Address, server: Address) -> int | None:
    """Query the kernel for one connection. The time does not depend on the number of connections."""
    number = next(_numbers)
    ends = struct.pack(_ENDS, client[1], server[1], socket.inet_aton(client[0]), socket.inet_aton(server[0]))
    what = struct.pack(_WHAT, socket.AF_INET, socket.IPPROTO_TCP, 0, 2**32 - 1) + ends + _ANY
    header = struct.pack(_HEADER, struct.calcsize(_HEADER) + len(what), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, number, 0)
    kernel = _kernel()
    kernel.send(header + what)
    answer = kernel.recv(4096)
    while struct.unpack_from(_HEADER, answer)[3] != number:  # response to an abandoned query
        answer = kernel.recv(4096)
    if struct.unpack_from(_HEADER, answer)[1] != _SOCK_DIAG_BY_FAMILY or answer[_STATE_AT] != _ESTABLISHED:
        return None
    return int(struct.unpack_from("=I", answer, _USER_AT)[0])


@cache
def _kernel() -> socket.socket:
    """Return the netlink socket. It stays open, because later the limit of open files may be reached."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError("This system is not Linux.")
    kernel = socket.socket(family, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    kernel.settimeout(1.0)
    return kernel


def _look_up(client: Address, server: Address) -> int | None:
    """Find a connection in the tables, if the kernel cannot be queried. The time grows with their size."""
    ends = [f"{_as_listed(host)}:{port:04X}" for host, port in (client, server)]
    texts = [table.read_text() for table in _TABLES if table.exists()]
    for line in (line for text in texts if ends[0] in text for line in text.splitlines() if ends[0] in line):
        fields = line.split()
        here, there, state, user = (fields[i] for i in (_LOCAL, _REMOTE, _STATE, _USER))
        if here.endswith(ends[0]) and there.endswith(ends[1]) and int(state, 16) == _ESTABLISHED:
            return int(user)
    return None


def _as_listed(host: str) -> str:
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}"
