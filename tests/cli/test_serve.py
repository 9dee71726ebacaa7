"""`assay serve` as a process: what keeps it from starting, and how it stops."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import duckdb
import pytest

from tests.cli.conftest import ASSAY, free_port, serving
from tests.conftest import NUMBER, Bench, held, until


def refusal(*arguments: str) -> tuple[int, str]:
    """How a service that cannot start ends."""
    ran = subprocess.run([ASSAY, "serve", *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
    return ran.returncode, ran.stderr


def answers(port: int) -> bool:
    """Whether a service answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def send(port: int, value: int) -> int:
    body = json.dumps({"a": value}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/collect/d", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


@pytest.mark.usefixtures("bench")
def test_a_port_that_is_taken_is_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, err = refusal("--port", str(port))
    assert code == 3
    assert f"127.0.0.1:{port}" in err


def test_an_address_that_is_not_here_is_3(bench: Bench) -> None:
    code, err = refusal("--insecure", "--host", "192.0.2.1")
    assert code == 3
    assert "192.0.2.1" in err


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param("s.duckdb", "s.duckdb", id="the store"),
        pytest.param("s.duckdb.log", "s.duckdb.log", id="the log"),
    ],
)
def test_a_damaged_file_is_3_and_named(bench: Bench, damage: str, says: str) -> None:
    (bench.folder / damage).write_bytes(b"no database" * 1000)
    code, err = refusal()
    assert code == 3
    assert str(bench.folder / says) in err
    assert (bench.folder / damage).read_bytes() == b"no database" * 1000


def test_a_log_that_another_process_owns_is_3(bench: Bench) -> None:
    with bench.service():
        code, err = refusal()
    assert code == 3
    assert "another assay process" in err


def rows(path: Path) -> list[tuple[float]]:
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute("SELECT a FROM d ORDER BY a").fetchall()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stop_is_0_and_moves_everything(bench: Bench, number: int) -> None:
    bench.enforce("d", {"a": NUMBER})
    port = free_port()
    with serving("--port", str(port)) as process:
        assert until(lambda: answers(port))
        assert send(port, 5) == 200
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stderr is not None
        said = process.stderr.read().splitlines()
    told = [json.loads(line) for line in said if not line.startswith("assay: the store is ")]
    assert [line["level"] for line in told] == ["info"]  # the contract that is active, and nothing else
    assert rows(bench.store) == [(5,)]


def test_a_stop_while_the_store_is_held_is_0_and_leaves_events_in_the_log(bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    port = free_port()
    with held(bench.store), serving("--port", str(port)) as process:
        assert until(lambda: answers(port))
        assert send(port, 5) == 200
        process.terminate()
        assert process.wait(20) == 0
    assert subprocess.run([ASSAY, "flush"], capture_output=True, check=False, timeout=30).returncode == 0
    assert rows(bench.store) == [(5,)]
