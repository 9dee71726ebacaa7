"""Files are checked and profiled by whole processes, and what they took is said."""

from __future__ import annotations

from benches import check, profile
from benches.files.__main__ import markdown, thresholds
from benches.turns import Taken


def test_a_check_and_a_profile_are_timed() -> None:
    checked = check.measure(rivals=None, rows=1_000, rounds=1)
    assert set(checked) == {check.COMMAND, "assay.check"}
    assert all(each.median_s > 0 and each.median_cpu_s > 0 for each in checked.values())
    profiled = profile.measure(rows=1_000, rounds=1)
    assert profiled.figures[profile.COMMAND] > profiled.figures[profile.SUMMARIZE] == 9 * 10
    checked |= {name: Taken([100.0], [50.0]) for name in (check.PANDERA, check.EXPECTATIONS)}
    assert [each.holds for each in thresholds(checked, profiled)][:2] == [True, True]
    text = markdown(checked, profiled, [("pandera", "0")], rows=1_000)
    assert "1,000 rows" in text
    assert "| Great Expectations | 100.00 |" in text
