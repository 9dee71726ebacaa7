"""The tables are made, learned from in a process of their own, and measured."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from benches.learning import __main__ as command


def test_long_and_wide_tables() -> None:
    longer = [command.measure(rows) for rows in (600, 1_200)]
    wider = [command.measure(500, columns) for columns in (10, 20)]
    assert [each.cells for each in (*longer, *wider)] == [5_400, 10_800, 5_000, 10_000]
    for each in (*longer, *wider):
        assert each.seconds > 0
        assert 10 < each.base_mib <= each.most_mib
    assert len(command.thresholds(longer, wider)) == 4


def test_the_same_table_is_made_again(tmp_path: Path) -> None:
    sums = []
    for name in ("a", "b"):
        command.make(tmp_path / name, 1_000, 10)
        with duckdb.connect(str(tmp_path / name), read_only=True) as con:
            sums.append(con.execute("SELECT sum(hash(t)) FROM t").fetchone())
    assert sums[0] == sums[1]


def test_tables_of_another_mix_are_not_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benches.learning", "--columns", "100"])
    with pytest.raises(SystemExit):
        command.main()
    assert "--columns must be a multiple of 40" in capsys.readouterr().err
