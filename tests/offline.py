"""Watch a program's system calls: what it connects to, and what it writes where."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache

_SENDING = "connect,sendto,sendmsg,sendmmsg"
_WRITING = "openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat"
_HERE = re.compile(r'inet_addr\("127\.|inet_pton\(AF_INET6, "::1"')
_SYSTEM = ("/dev/", "/proc/")


@cache
def can_trace():
    """Tell whether strace is here and may trace."""
    strace = ["strace", "-o", os.devnull, "true"]
    return bool(shutil.which("strace")) and subprocess.run(strace, capture_output=True, check=False).returncode == 0


@cache
def without_network():
    """Return the command that runs another where there is no network but this machine's own, or nothing."""
    for unshare in (["unshare", "-n"], ["unshare", "-rn"]):
        command = [*unshare, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        ):
            return tuple(command)
    return ()


def watched(code, *arguments, log, env, network=False):
    """Run Python code with its system calls in a file, unless `network` without one; return the finished process."""
    trace = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={_SENDING},{_WRITING}", "-e", "signal=none"]
    command = [] if network else [*without_network()]
    command += [*trace, "-s", "4000", "-o", str(log)] if can_trace() else []
    command += [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=500)


def breaches(log, *allowed):
    """Return the calls of a log that reach for another machine, and those that write outside of some folders."""
    places = tuple(f"{os.path.realpath(place)}/" for place in allowed)
    calls = (line.split(None, 1)[-1] for line in log.read_text(errors="replace").splitlines())
    return [call for call in calls if _reaches(call) or _writes(call, places)]


def _reaches(call):
    return call.startswith(tuple(_SENDING.split(","))) and "AF_INET" in call and not _HERE.search(call)


def _writes(call, places):
    if not call.startswith(tuple(_WRITING.split(","))) or "= -1 " in call:
        return False
    if call.startswith(("open(", "openat(")) and not re.search("O_WRONLY|O_RDWR|O_CREAT", call):
        return False
    paths = [path for path in re.findall(r'"([^"]*)"', call) if path.startswith("/")]
    return any(not f"{os.path.realpath(path)}/".startswith((*places, *_SYSTEM)) for path in paths)
