"""Which user's program is at the other end of a connection on this machine."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

#: Where Linux lists all connections of the machine, with whom they belong to; IPv4 can be in both.
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOCAL, _REMOTE, _USER = 1, 2, 7


def owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return the number of the user who holds a connection's other end.

    Parameters
    ----------
    client, server : tuple of str and int
        IPv4 address and port of the other end, and of ours.

    Returns
    -------
    int or None
        None where that is not told: by other systems than Linux, and of what is forwarded from another machine.
    """
    try:
        ends = [f"{_as_listed(host)}:{port:04X}" for host, port in (client, server)]
        lines = [line.split() for table in _TABLES if table.exists() for line in table.read_text().splitlines()]
    except OSError:  # no address, or no right to read
        return None
    for fields in lines:
        if [fields[_LOCAL][-len(ends[0]) :], fields[_REMOTE][-len(ends[1]) :]] == ends:
            return int(fields[_USER])
    return None


def is_foreign(client: tuple[str, int], server: tuple[str, int]) -> bool:
    """Whether a connection is known to be of another user than the one who runs this; root may do all anyway."""
    user = owner(client, server)
    return user is not None and user not in (0, os.getuid())


def _as_listed(host: str) -> str:
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}"
