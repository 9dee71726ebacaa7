"""Keys in flight, held against other processes."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import pytest

from assay.errors import Overloaded
from assay.ingest import claims as module
from assay.ingest.claims import Claims
from assay.ingest.keys import Slot

#: Another worker: takes what it is told, and lets go of it when it is told to.
OTHER = """
import asyncio, sys
from assay.ingest.claims import Claims
claims = Claims(int(sys.argv[1]), int(sys.argv[2]), 2)
claims.open()
print("open", flush=True)
for line in sys.stdin:
    what, *places = line.split()
    places = list(map(int, places))
    if what == "take":
        asyncio.run(claims.take(places))
    else:
        claims.release(places)
    print("done", flush=True)
"""


class Other:
    def __init__(self, descriptor: int, number: int = 1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(descriptor), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[descriptor],
        )
        self.heard()

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def do(self, what: str, *places: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what} {' '.join(map(str, places))}\n")
        self.process.stdin.flush()
        assert self.heard() == "done"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def descriptor() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        descriptor = os.dup(file.fileno())
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def other(descriptor: int) -> Iterator[Other]:
    other = Other(descriptor)
    yield other
    if other.process.poll() is None:
        other.kill()


def claims(descriptor: int) -> Claims:
    own = Claims(descriptor, 0, 2)
    own.open()
    return own


async def taken_within(own: Claims, seconds: float, *places: int) -> bool:
    try:
        await asyncio.wait_for(own.take(places), seconds)
    except TimeoutError:
        return False
    return True


def test_what_another_holds_is_waited_for_and_nothing_is_kept_meanwhile(descriptor: int, other: Other) -> None:
    own = claims(descriptor)
    other.do("take", 7, 9)
    assert not asyncio.run(taken_within(own, 0.1, 3, 9))
    other.do("take", 3)  # which was given back
    other.do("release", 3, 9)
    assert asyncio.run(taken_within(own, 10, 3, 9))
    own.release([3, 9])
    other.do("take", 3, 9)


def test_what_the_dead_held_is_free_once_its_log_is_open_again(descriptor: int, other: Other) -> None:
    own = claims(descriptor)
    other.do("take", 5)
    other.kill()
    began = time.monotonic()
    assert not asyncio.run(taken_within(own, 0.3, 5))
    assert time.monotonic() - began >= 0.3
    again = Other(descriptor)
    assert asyncio.run(taken_within(own, 10, 5))
    again.kill()


def test_who_waits_for_a_log_in_vain_is_told_to_come_again(
    descriptor: int, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
    own = claims(descriptor)
    other.kill()
    with pytest.raises(Overloaded, match="lost"):
        asyncio.run(own.take([1, 2]))
    again = Other(descriptor)
    again.do("take", 1, 2)  # nothing was kept
    again.kill()


def test_a_log_is_opened_whoever_looks_whether_it_is(descriptor: int) -> None:
    """Both look all the time, and both are open in the end."""
    others = [Other(descriptor, number) for number in range(2)]
    for turn in range(20):
        for number, each in enumerate(others):
            each.do("take", 100 * number + turn)
    for each in others:
        each.kill()


def test_where_keys_are_held_is_the_same_everywhere_and_events_are_apart() -> None:
    slots = [Slot("d", "s", f"k{number}") for number in range(1_000)]
    events = [Slot("d", "s", f"ce {number}") for number in range(1_000)]
    assert Claims.places([Slot("d", "s", "k")]) == {2121}  # by the key, not by a seed of the process
    assert max(Claims.places(slots)) < min(Claims.places(events))
    assert len(Claims.places(slots)) > 850
