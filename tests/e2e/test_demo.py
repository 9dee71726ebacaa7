"""bin/demo.sh: the whole story holds, its figures agree, and nothing of it stays."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lakes import HAS_LAKE

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


#: The collectors that there are with each store.
COLLECTORS = {"duckdb": 1, "ducklake": 2}


@pytest.fixture(params=["duckdb", pytest.param("ducklake", marks=pytest.mark.lake)])
def store(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "ducklake" and not HAS_LAKE:
        pytest.skip("assay[lake] is not installed")
    return name


def begin(store: str) -> subprocess.Popen[str]:
    """The demo in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [ROOT / "bin/demo.sh", "--store", store],
        env=os.environ | {"NO_SETUP": "1", "SETUP_VENV": sys.prefix},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def workspace() -> dict[Path, bytes]:
    """The checkout's own files that a demo could change."""
    files = [
        ROOT / "assay.toml",
        *(path for name in ("app", "contracts", "promconfig") for path in (ROOT / name).rglob("*")),
    ]
    return {path: path.read_bytes() for path in files if path.is_file() and "__pycache__" not in path.parts}


def is_listening(port: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", int(port))) == 0


def left_over(said: str) -> list[str]:
    """Of what a demo's output names: the folders that are there, the ports that answer, and processes that know a folder."""
    folders = set(re.findall(r"/\S*assay-demo-\w+", said))
    assert folders
    commands = [_command(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    return [
        *(folder for folder in folders if Path(folder).exists()),
        *filter(is_listening, re.findall(r"http://localhost:(\d+)", said)),
        *(command for command in commands if any(folder in command for folder in folders)),
    ]


def _command(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has ended
        return ""


def figure(pattern: str, said: str) -> list[float]:
    """The numbers that a line tells."""
    found = re.search(pattern, said)
    assert found, (pattern, said)
    return [float(number.replace(",", "")) for number in found.groups()]


def test_the_whole_loop_holds_and_leaves_nothing_behind(store: str) -> None:
    before = workspace()
    with begin(store) as demo:
        said, _ = demo.communicate(timeout=380)
    sys.stdout.write(said)
    assert demo.returncode == 0, said

    sent, accepted, refused, rows = figure(
        r"sent ([\d,]+), accepted ([\d,]+), refused ([\d,]+); ([\d,]+) rows in the store", said
    )
    assert sent == accepted >= 10_000
    assert (refused, rows) == (0, accepted)
    assert re.search(r"salary +number, .*\d", said)
    assert "alert_hold = 0s, alert_windows = 1m" in said
    assert figure(r"alerts that fired in those 60 s, asked of Prometheus: (\d+)", said) == [0]
    (fires,) = figure(r"\(salary\) fires ([\d.]+) s after", said)
    assert 0 < fires <= 60
    assert '"loc": ["salary"], "type": "less_than_equal"' in said
    (recovers,) = figure(r"nothing fires, ([\d.]+) s after", said)
    assert 0 < recovers <= 100

    names = ("sent", "accepted", "refused", "in their table", "in quarantine", "different")
    sent, accepted, refused, rows, kept, different = (figure(rf"\n +{name} +([\d,]+)\n", said)[0] for name in names)
    assert sent == accepted + refused == rows + kept == different
    assert refused > 0
    if COLLECTORS[store] > 1:
        # Each took a part; the last that is told of it is of the whole.
        parts = [
            figure(rf"(?s).*collector {number}: accepted ([\d,]+), refused ([\d,]+)\n", said)
            for number in range(1, COLLECTORS[store] + 1)
        ]
        assert [sum(each) for each in zip(*parts, strict=True)] == [accepted, refused]
        assert min(map(min, parts)) > 0
    assert figure(r"one of ([\d,]+), byte for byte", said)[0] <= kept
    assert figure(r"All of it held; (\d+) s in total", said)[0] > 60  # under 180 on a machine that does nothing else

    assert left_over(said) == []
    assert workspace() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_stops_all_that_it_started(store: str, number: signal.Signals) -> None:
    with begin(store) as demo:
        assert demo.stdout is not None
        lines: list[str] = []
        while not (lines and "Clean events" in lines[-1]):  # both servers run, Locust starts
            lines.append(demo.stdout.readline())
            assert lines[-1], lines
        said = "".join(lines)
        ports = re.findall(r"http://localhost:(\d+)", said)
        assert len(ports) == COLLECTORS[store] + 1
        assert all(map(is_listening, ports))
        time.sleep(1)
        os.killpg(demo.pid, number)
        began = time.monotonic()
        demo.communicate(timeout=60)
        assert demo.returncode == 128 + number
        assert time.monotonic() - began < 15
    assert left_over(said) == []
