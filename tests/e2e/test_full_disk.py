"""A full disk, under the log, the store or both: what cannot be kept is answered 503, and it ends when there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import Service, until

pytestmark = pytest.mark.e2e

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "text": {"type": "string"}}, "required": ["id"]}
TEXT = os.urandom(2_000).hex()  # 4 KB that nothing can compress within an event


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A disk in memory."""
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr.decode().strip()}")
    try:
        yield path
    finally:
        assert until(lambda: subprocess.run(["umount", path], capture_output=True, check=False).returncode == 0, 10)


def fill(disk: Path, *, leave_bytes: int = 0) -> Path:
    """Something else that takes the room, to the last block."""
    filler = disk / "filler"
    room = os.statvfs(disk)
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        size = room.f_bavail * room.f_frsize - leave_bytes
        while size > 0:
            size -= file.write(bytes(min(size, 1 << 16)))
    return filler


class Sender:
    """Sends events with ids of their own, and keeps count of the answers."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.accepted: list[int] = []
        self.put_off: list[int] = []
        self.others: list[int] = []  # without an answer, or with one that should not be
        self._next = 0

    def send(self) -> int | None:
        number = self._next
        self._next += 1
        body = b'{"id": %d, "text": "%s"}' % (number, TEXT.encode())
        with self._service.client() as client:
            answer = client.try_post("/collect/d", body)
        if answer is not None and answer.status == 200:
            self.accepted.append(number)
        elif answer is not None and answer.status == 503:
            assert int(answer.headers["retry-after"]) > 0
            self.put_off.append(number)
        else:
            self.others.append(number)
        return None if answer is None else answer.status

    def send_until(self, status: int, timeout_s: float) -> bool:
        return until(lambda: self.send() == status, timeout_s, every_s=0)


Placed = tuple[Service, Path]
Place = Callable[[str], AbstractContextManager[Placed]]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    @contextmanager
    def placed(what: str) -> Iterator[Placed]:
        """A service with its log, its store or both on a small disk."""
        disk = tmp_path / "disk"
        log = (disk if what in {"log", "both"} else tmp_path) / "x.log"
        store = (disk if what in {"store", "both"} else tmp_path) / "s.duckdb"
        with small_disk(disk, "40m"), Service(tmp_path / "workspace", log=str(log), store=str(store)) as service:
            service.store = store
            service.enforce("d", SCHEMA)
            service.start()
            yield service, disk

    return placed


def check(service: Service, sender: Sender) -> None:
    service.flush()
    rows = [row[0] for row in service.rows("SELECT id FROM d")]
    assert len(rows) == len(set(rows)), "stored twice"
    assert set(sender.accepted) - set(rows) == set(), "acknowledged and lost"
    assert set(sender.put_off) & set(rows) == set(), "answered 503, and stored all the same"
    assert sender.others == []
    assert service.rows("SELECT count(*) FROM _gaps") == [(0,)]


@pytest.mark.parametrize("what", ["log", "both"])
def test_a_full_disk_under_the_log(place: Place, what: str) -> None:
    with place(what) as (service, disk):
        sender = Sender(service)
        assert sender.send() == 200
        assert (disk / "x.log.reserve").exists()
        filler = fill(disk, leave_bytes=1 << 20)
        assert sender.send_until(503, 60)
        # It goes on as it can: what the store takes is taken out of the log, what there is no room for is put off.
        for _ in range(50):
            sender.send()
            time.sleep(0.02)
        assert service.get("/").status == 200
        filler.unlink()
        assert sender.send_until(200, 20), service.get("/readyz").body
        assert until(service.is_ready, 10)
        assert sum(sender.send() == 200 for _ in range(20)) == 20
        assert until((disk / "x.log.reserve").exists, 10)
        check(service, sender)
        assert service.terminate() == 0


def test_a_disk_full_from_the_start_of_a_run(place: Place) -> None:
    with place("log") as (service, disk):
        sender = Sender(service)
        assert sender.send() == 200
        service.kill()
        filler = fill(disk)
        service.start()
        for _ in range(10):
            sender.send()
        filler.unlink()
        assert sender.send_until(200, 20)
        check(service, sender)


def test_events_wait_while_the_store_s_disk_is_full(place: Place) -> None:
    with place("store") as (service, disk):
        sender = Sender(service)
        assert sender.send() == 200
        service.flush()
        filler = fill(disk)
        for _ in range(300):
            assert sender.send() == 200
        assert until(lambda: "note" in service.get("/readyz").document, 10)
        assert service.get("/readyz").status == 200
        assert sender.send() == 200
        filler.unlink()
        check(service, sender)
        assert until(lambda: "note" not in service.get("/readyz").document, 10)
