"""Which process this is: its machine, the machine's last start, its number, and the moment at which it began."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path


def host_name() -> str:
    """The machine's name."""
    return socket.gethostname()


def boot() -> str:
    """The machine's last start, and whose processes are counted: two containers of one machine have a pid 7 each."""
    path, names = Path("/proc/sys/kernel/random/boot_id"), ""
    with suppress(OSError):
        names = str(Path("/proc/self/ns/pid").readlink())
    return " ".join(filter(None, (path.read_text().strip() if path.is_file() else "", names)))


def began_of(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 if there is none, or only its exit code is waited for."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _signalled(pid) if not Path("/proc/self/stat").exists() else 0
    return 0 if after[0] in ("Z", "X") else int(after[19])


def _signalled(pid: int) -> int:
    """Without /proc: 1 if there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 0
    except PermissionError:
        return 1
    return int(pid > 0)
