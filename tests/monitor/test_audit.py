"""The past gone through piece by piece gives the alarms that going through it at once gives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pytest

from assay.monitor import audit as module
from assay.monitor.audit import Alarm, Counted, audit
from assay.monitor.exceptions import AlertException
from assay.monitor.rules import RuleSettings
from tests.monitor.samples import learned

CONTRACT = learned()
SETTINGS = RuleSettings()
#: Unix time; three hours of steps of 5 s, a fault in the last.
FROM_S = 1_700_000_000
STEPS = 3 * 720
FAULT = 2 * 720


def past(rate: float, fault: Callable[[Counted, int], None] | None = None) -> Callable[[int, int], Counted]:
    """Clean counts of any stretch, the same each time; `fault` corrupts the step of that place."""
    first = FROM_S // 5

    def counted(begin: int, end: int) -> Counted:
        n = end - begin
        found = Counted(n, last=np.zeros(n))
        found.events = {("till", outcome): np.zeros(n, dtype=np.int64) for outcome in ("accepted", "rejected")}
        found.violations = {("price", "greater_than"): np.zeros(n, dtype=np.int64)}
        shares = {
            "price": [*[0.1] * 10, 0, 0, 0, 0],
            "city": [0.6, 0.3, 0.0999, 0, 0, 0, 0.0001],
            "member": [0.9, 0.1, 0, 0, 0, 0],
        }
        found.values = {label: np.zeros((len(each), n), dtype=np.int64) for label, each in shares.items()}
        for step in range(begin, end):
            rng = np.random.default_rng(step)
            events = rng.poisson(rate * 5)
            i = step - begin
            found.events["till", "accepted"][i] = events
            assert found.last is not None
            found.last[i] = (step + 1) * 5 - 0.1 if events else 0
            for label, each in shares.items():
                found.values[label][:, i] = rng.multinomial(events, each)
            if fault is not None and step - first >= FAULT:
                fault(found, i)
        return found

    return counted


def stuck(counted: Counted, i: int) -> None:
    """All prices in one bin."""
    values = counted.values["price"]
    values[3, i], values[:3, i], values[4:, i] = values[:, i].sum(), 0, 0


def refused(counted: Counted, i: int) -> None:
    """One event in five."""
    bad = counted.events["till", "accepted"][i] // 5
    counted.events["till", "accepted"][i] -= bad
    counted.events["till", "rejected"][i] += bad
    counted.violations["price", "greater_than"][i] += bad


def silent(counted: Counted, i: int) -> None:
    """Nothing comes."""
    for counts in (*counted.events.values(), *(row for rows in counted.values.values() for row in rows)):
        counts[i] = 0
    assert counted.last is not None
    counted.last[i] = 0


def alarms(
    fault: Callable[[Counted, int], None] | None, *exceptions: AlertException, rate: float = 20
) -> tuple[list[Alarm], int]:
    settings = RuleSettings(exceptions=exceptions)
    return audit(CONTRACT, settings, past(rate, fault), FROM_S, FROM_S + STEPS * 5)


def test_clean_traffic_raises_nothing() -> None:
    found, events = alarms(None)
    assert found == []
    assert events == pytest.approx(20 * 5 * STEPS, rel=0.02)


def test_a_stuck_value_is_told_with_its_figures() -> None:
    found, _ = alarms(stuck)
    assert [(each.alert, each.field, each.source, each.until_s) for each in found] == [
        ("FieldDrift", "price", "", None)
    ]
    (alarm,) = found
    assert FROM_S + FAULT * 5 < alarm.from_s <= FROM_S + FAULT * 5 + 30
    assert alarm.expected is not None
    assert alarm.limit is not None
    assert alarm.figure > alarm.limit > alarm.expected > 0


def test_refused_events_are_told_by_source_and_field() -> None:
    found, _ = alarms(refused)
    told = {(each.alert, each.field, each.source, each.detail) for each in found}
    assert told == {
        ("FieldViolations", "price", "", "greater_than"),
        ("RejectRate", "", "", ""),
        ("SourceRejectRate", "", "till", ""),
    }
    for alarm in found:
        assert alarm.limit is not None
        assert alarm.expected is not None
        assert alarm.figure > alarm.limit > alarm.expected >= 0


def test_silence_begins_and_ends() -> None:
    found, _ = alarms(silent)
    told = {each.alert: each for each in found}
    assert told.keys() == {"Silence", "VolumeDrop"}
    silence = told["Silence"]
    assert (silence.expected, silence.limit) == (None, 45)
    assert 45 < silence.from_s - (FROM_S + FAULT * 5) < 60
    # An hour on, nothing is due any more.
    assert silence.until_s is None or silence.until_s > FROM_S + STEPS * 5 - 120


@pytest.mark.parametrize("fault", [stuck, refused, silent])
def test_pieces_say_what_the_whole_says(fault: Callable[[Counted, int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = alarms(fault)
    monkeypatch.setattr(module, "_PIECE", 333)
    assert alarms(fault) == whole


def test_what_an_exception_holds_back_is_named() -> None:
    muted = AlertException("FieldDrift", "shop", "a new shop opens", date(2100, 1, 1), field="price")
    found, _ = alarms(stuck, muted)
    assert [(each.alert, each.held_back) for each in found] == [("FieldDrift", muted)]
    other = AlertException("FieldDrift", "shop", "a new shop opens", date(2100, 1, 1), field="city")
    found, _ = alarms(stuck, other)
    assert [(each.alert, each.held_back) for each in found] == [("FieldDrift", None)]


def test_a_wider_limit_holds_back_what_stays_below_it() -> None:
    wide = AlertException("RejectRate", "shop", "known", date(2100, 1, 1), widen=1000)
    found, _ = alarms(refused, wide)
    assert {each.alert: each.held_back for each in found} == {
        "FieldViolations": None,
        "RejectRate": wide,
        "SourceRejectRate": None,
    }
    narrow = AlertException("RejectRate", "shop", "known", date(2100, 1, 1), widen=1.01)
    found, _ = alarms(refused, narrow)
    assert {each.held_back for each in found} == {None}


def test_an_exception_that_was_over_holds_nothing_back() -> None:
    over = AlertException("FieldDrift", "shop", "it was so", date(2020, 1, 1), field="price")
    found, _ = alarms(stuck, over)
    assert [(each.alert, each.held_back) for each in found] == [("FieldDrift", None)]


def test_a_past_without_events_is_silent() -> None:
    found = audit(CONTRACT, SETTINGS, lambda begin, end: Counted(end - begin), FROM_S, FROM_S + 86_400)
    assert found == ([], 0)
