"""Worker processes, as the head sees them. Those here only talk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.errors import ServiceError
from assay.service.crew import Crew
from tests.conftest import until

#: What a worker says and does, but for the events. Its argument is a folder: a file there named after its number is what it
#: says in place of "ready"; what it is told it writes beside.
WORKER = """
import json, os, sys
folder, number = sys.argv[1:]
def tell(**said): print(json.dumps(said), flush=True)
instead = os.path.join(folder, number)
with open(instead + ".pid", "w") as file: file.write(str(os.getpid()))
if os.path.exists(instead):
    tell(what="failed", text=open(instead).read())
    sys.exit(3)
tell(what="ready")
for line in sys.stdin:
    with open(instead + ".told", "a") as file: file.write(line)
    order = json.loads(line)
    if order["what"] == "look": tell(what="looked", number=order["number"])
    if order["what"] == "stop": tell(what="drained")
    if order["what"] == "end": sys.exit(0)
    if order["what"] == "through" and order["through"] == 99:
        tell(what="state", text="the disk is full", gauges={"log_events": 5, "log_oldest_seconds": 7}, learning={"a": 3})
    if order["what"] == "through" and order["through"] == 98:
        tell(what="state", gauges={"log_events": 1, "log_oldest_seconds": 2}, learning={"a": 1, "b": 2})
"""


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.crew = Crew(2, self.start)

    def go(self) -> None:
        self.crew.begin()
        self.crew.start()

    def start(self, number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WORKER, str(self.folder), str(number)]
        return subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def pid(self, number: int) -> int:
        return int((self.folder / f"{number}.pid").read_text() or 0)

    def told(self, number: int) -> str:
        path = self.folder / f"{number}.told"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.crew.end([])


def test_one_that_cannot_start_ends_all_and_says_why(place: Place) -> None:
    (place.folder / "1").write_text("ingest log x: it is no database")
    with pytest.raises(ServiceError, match="it is no database"):
        place.go()
    assert until(lambda: not Path(f"/proc/{place.pid(0)}").exists())


def test_what_they_say_is_added_up(place: Place) -> None:
    place.go()
    assert place.crew.failure is None
    place.crew.moved([98, 99])
    assert until(lambda: place.crew.failure == "the disk is full")
    assert place.crew.gauges() == {"log_events": 6, "log_oldest_seconds": 7}
    assert place.crew.learning == {"a": 4, "b": 2}
    assert until(lambda: '"learning":{"a":3}' in place.told(0))  # what the other one has
    assert until(lambda: '"learning":{"a":1,"b":2}' in place.told(1))


def test_a_look_is_over_when_all_have_looked(place: Place) -> None:
    place.go()
    place.crew.look()
    assert all('"what":"look","number":1' in place.told(number) for number in range(2))


def test_one_that_dies_is_started_again_and_told_how_far_its_log_was_moved(place: Place) -> None:
    place.go()
    place.crew.moved([7, 8])
    died = place.pid(1)
    assert until(lambda: "8" in place.told(1))
    (place.folder / "1.told").unlink()
    os.kill(died, signal.SIGKILL)
    assert until(lambda: place.pid(1) not in {0, died})
    assert until(lambda: '"through":8' in place.told(1))
    place.crew.look()
    assert '"what":"look"' in place.told(1)


def test_one_that_cannot_start_again_is_tried_again_while_the_others_go_on(place: Place) -> None:
    place.go()
    (place.folder / "1").write_text("not now")
    os.kill(place.pid(1), signal.SIGKILL)
    tried = {place.pid(1)}
    assert until(lambda: place.pid(1) not in tried)
    assert place.crew.failure is None
    place.crew.look()  # it is not waited for
    (place.folder / "1").unlink()

    def has_looked() -> bool:
        place.crew.look()
        return "look" in place.told(1)

    assert until(has_looked, 15)


def test_one_that_hangs_keeps_nobody_waiting(place: Place) -> None:
    place.go()
    os.kill(place.pid(0), signal.SIGSTOP)
    try:

        def tell() -> None:
            for _ in range(20_000):
                place.crew.moved([5, 5])

        told = threading.Thread(target=tell)
        told.start()
        told.join(60)
        assert not told.is_alive()
    finally:
        os.kill(place.pid(0), signal.SIGCONT)


def test_a_stop_waits_until_all_have_drained_then_ends_them(place: Place) -> None:
    place.go()
    place.crew.drain(20)
    place.crew.end([3, 4])
    assert '"through":3' in place.told(0)
    assert '"through":4' in place.told(1)
    assert until(lambda: not any(Path(f"/proc/{place.pid(number)}").exists() for number in range(2)))


def test_one_that_dies_while_all_stop_is_not_started_again(place: Place) -> None:
    place.go()
    place.crew.drain(20)
    died = place.pid(1)
    os.kill(died, signal.SIGKILL)
    time.sleep(0.1)
    place.crew.end([0, 0])
    assert place.pid(1) == died
