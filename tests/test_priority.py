"""A process that gives way: its nice value and its slice, as the kernel has them."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import struct
import subprocess
import sys
from typing import Any

import pytest

from assay.priority import give_way

_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275, "riscv64": 275}


def _has_slices() -> bool:
    release = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
    return sys.platform == "linux" and platform.machine() in _SCHED_GETATTR and release >= (6, 12)


def _told(program: str) -> str:
    given = [sys.executable, "-c", f"from tests.test_priority import *; {program}"]
    return subprocess.run(given, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def slice_ms() -> float:
    """Of the calling thread, as the kernel says."""
    said = ctypes.create_string_buffer(48)
    failed = ctypes.CDLL(None).syscall(_SCHED_GETATTR[platform.machine()], 0, said, len(said), 0)
    assert not failed
    attributes: tuple[Any, ...] = struct.unpack("=IIQiIQQQ", said.raw)
    return float(attributes[5]) / 1e6


def in_thread() -> float:
    """The slice of a thread that is started now."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(slice_ms).result()


def test_the_nice_value_is_raised() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert int(_told("give_way(5); print(os.getpriority(os.PRIO_PROCESS, 0))")) == min(19, before + 5)


@pytest.mark.skipif(not _has_slices(), reason="slices of one's own came with Linux 6.12")
def test_slices_are_long_for_it_and_for_the_threads_it_starts() -> None:
    before, own, thread = map(float, _told("print(slice_ms()); give_way(5); print(slice_ms(), in_thread())").split())
    assert before < 100
    assert (own, thread) == (100, 100)


def test_what_is_not_allowed_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "nice", refuse)
    monkeypatch.setattr(platform, "machine", lambda: "a machine unheard of")
    give_way(5)
