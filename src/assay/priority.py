"""Processes that give way: what they do may wait a little, and whoever answers a request may not."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from typing import Final

__all__ = ["give_way"]

#: How long it may run on where nobody else wants the core. Linux takes 0.1 to 100 ms.
_SLICE_NS: Final = 100_000_000
#: `struct sched_attr`, its first version: size, policy, flags, nice, priority, runtime, deadline, period.
#: https://man7.org/linux/man-pages/man2/sched_setattr.2.html
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")
#: The number of the system call, which Debian 12's C library has no name for. Newer machines share the generic one.
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274, "riscv64": 274}


def give_way(nice: int) -> None:
    """Lower the priority of the calling thread, and of those that it starts from now on.

    `nice` is what is added to its nice value. That says how large its share is where the cores are wanted by others, and not
    how soon they get one: since Linux 6.6 (EEVDF) whoever runs may keep the core to the end of a slice, some 3 ms, and
    whoever wakes up waits for it, as a request does at each of its steps. Since 6.12 a thread of long slices gives way at once
    to one of shorter ones, and its share is what it was: so a long slice is asked for.
    https://docs.kernel.org/scheduler/sched-eevdf.html, https://lwn.net/Articles/969062/

    What the system does not allow, or does not know, is left as it is.
    """
    with contextlib.suppress(OSError, AttributeError):  # not everywhere
        os.nice(nice)
    number = _SCHED_SETATTR.get(platform.machine()) if sys.platform == "linux" else None
    if number is not None and os.sched_getscheduler(0) == os.SCHED_OTHER:
        now = os.getpriority(os.PRIO_PROCESS, 0)
        asked = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, now, 0, _SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, asked, 0)
