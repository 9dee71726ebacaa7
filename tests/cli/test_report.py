"""`assay report`."""

from __future__ import annotations

import os
import pty
import random
import re
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from tests.cli.conftest import ASSAY, Command
from tests.conftest import Bench

HOSTILE = "<script>alert(1)</script>"


def table(rows: int, seed: int, *, factor: float = 1.0) -> pa.Table:
    rng = random.Random(seed)
    return pa.table(
        {
            "fare": [rng.gammavariate(4, 5) * factor for _ in range(rows)],
            "city": [rng.choice(["Oslo", "Bergen", HOSTILE]) for _ in range(rows)],
            "delay": [rng.lognormvariate(1, 2) for _ in range(rows)],
        }
    )


@pytest.fixture
def file(bench: Bench) -> Path:
    path = bench.folder / "rows.csv"
    pyarrow.csv.write_csv(table(3_000, 1), path)
    return path


def page(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_a_file_as_a_page_of_its_own(assay: Command, file: Path) -> None:
    ran = assay("report", str(file), "-o", "report.html")
    assert ran.code == 0
    assert "3,000 rows of rows.csv" in ran.err
    text = page(file.with_name("report.html"))
    assert len(text) < 200_000
    assert "3,000" in text
    assert "logarithmic scale" in text
    assert "delay has a long tail" in text
    # Nothing is loaded, nothing runs, nothing of the data is markup.
    assert re.findall(r'(?:src|href)="(?!#)', text) == []
    assert "<script" not in text
    assert "url(" not in text
    assert "&lt;script&gt;" in text


def test_a_file_as_markdown(assay: Command, file: Path) -> None:
    ran = assay("report", str(file))
    assert ran.code == 0
    rows = [line for line in ran.out.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == ["fare", "city", "delay"]
    assert re.search(r"[▁▂▃▄▅▆▇█]{8}", rows[0])
    assert assay("report", str(file), "-o", "report.md").code == 0
    assert page(file.with_name("report.md")) == ran.out


def test_beside_a_reference_what_moved_comes_first(assay: Command, file: Path) -> None:
    other = file.with_name("other.csv")
    pyarrow.csv.write_csv(
        table(3_000, 2, factor=1.609).drop_columns("delay").append_column("new", pa.array([1] * 3_000)), other
    )
    ran = assay("report", str(other), "--against", str(file))
    assert "- delay is in rows.csv, and not here." in ran.out
    assert "- new is new: rows.csv does not have it." in ran.out
    rows = [line for line in ran.out.splitlines() if line.startswith("| `")]
    assert rows[0].startswith("| `fare`")
    assert rows[0].rstrip(" |").endswith("**")
    assert not rows[1].rstrip(" |").endswith("**")
    assert assay("report", str(other), "--against", str(file), "-o", "report.html").code == 0
    text = page(file.with_name("report.html"))
    assert "differs" in text
    assert "alike" in text


def test_a_file_held_to_a_contract(assay: Command, bench: Bench, file: Path) -> None:
    bench.contract("d", {"fare": {"type": "number", "maximum": 30}})
    ran = assay("report", str(file), "--contract", "d@1")
    assert re.search(r"\*\*\d+ of 3,000 rows \(\S+%\) break the contract", ran.out)
    assert "| fare | Input should be less than or equal to 30 |" in ran.out
    assert assay("report", str(file), "--contract", "d@1", "-o", "report.html").code == 0
    assert "Rows that break the contract" in page(file.with_name("report.html"))


def test_a_dataset_with_what_was_refused_and_when(assay: Command, bench: Bench) -> None:
    bench.enforce("d", {"fare": {"type": "number", "maximum": 30}})
    with bench.service() as service:
        service.lines("/collect/d", *({"fare": i % 30} for i in range(500)))
        service.lines("/collect/d", *({"fare": 99} for _ in range(7)))
    ran = assay("report", "d")
    assert ran.code == 0
    assert "| 7 | fare: Input should be less than or equal to 30 | unknown |" in ran.out
    assert assay("report", "d", "-o", "report.html").code == 0
    text = page(bench.folder / "report.html")
    assert "Refused events" in text
    assert "<mark>99</mark>" in text
    assert "number, up to 30" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["No.csv"], "neither a file", id="no such file"),
        pytest.param(["rows.csv", "--against", "No.csv"], "neither a file", id="no such reference"),
        pytest.param(["rows.csv", "--format", "html"], "-o report.html", id="a page without a name"),
        pytest.param(["rows.csv", "--contract", "d@1"], "d", id="no such contract"),
        pytest.param(["nothing"], "there is no store", id="no store"),
    ],
)
def test_used_wrongly(assay: Command, file: Path, arguments: list[str], says: str) -> None:
    ran = assay("report", *arguments)
    assert ran.code == 2
    assert says in ran.err


# ---- the same on a terminal: `assay profile`


def on_a_terminal(*arguments: str, folder: Path, **environment: str) -> str:
    """What a command prints where somebody looks."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        base = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "CI"}}
        os.execve(ASSAY, [str(ASSAY), *arguments], base | {"TERM": "xterm-256color", "COLUMNS": "100"} | environment)
    said = b""
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # the other side is gone
            break
        if not part:
            break
        said += part
    os.waitpid(pid, 0)
    os.close(terminal)
    return said.decode()


def test_a_profile_has_small_histograms(assay: Command, file: Path) -> None:
    ran = assay("profile", str(file))
    assert ran.code == 0
    lines = {line.split()[0]: line for line in ran.out.splitlines() if line}
    assert re.search(r"[▁▂▃▄▅▆▇█]{12}", lines["fare"])
    assert re.search(r"[▁▂▃▄▅▆▇█]{3} ", lines["city"])
    assert "\x1b" not in ran.out


def test_a_profile_on_a_terminal(file: Path) -> None:
    said = on_a_terminal("profile", file.name, folder=file.parent)
    assert "\x1b[34m" in said
    assert re.search(r"[▁▂▃▄▅▆▇█]{12}", said)
    plain = on_a_terminal("profile", file.name, folder=file.parent, NO_COLOR="1")
    assert not re.search(r"\x1b\[3\d", plain)
    assert re.search(r"[▁▂▃▄▅▆▇█]{12}", plain)


def test_in_ascii_where_the_terminal_has_no_more(file: Path) -> None:
    ran = subprocess.run(
        [ASSAY, "profile", file.name],
        cwd=file.parent,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0
    assert re.search(rb"fare .*[1-9]{6}", ran.stdout)
