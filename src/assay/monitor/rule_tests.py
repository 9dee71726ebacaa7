"""promtool's unit tests of the rules, worked out from the same contracts: what must fire, and what must not.

Each limit is tried from both sides, a little above and a little below, so that a wrong threshold fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from assay.contract.document import Contract
from assay.contract.evidence import SPECIAL_BINS, Bins
from assay.monitor.bins import binned_fields
from assay.monitor.promtool_case import Case, Clock
from assay.monitor.recording import drift_base, drift_k, reject_share, violation_share
from assay.monitor.rule_settings import RuleSettings, duration_text
from assay.monitor.rules import RULES_FILE, header
from assay.monitor.yaml_text import yaml_text

__all__ = ["TEST_FILE", "render_rule_tests"]

TEST_FILE: Final = "data_quality_rules.test.yml"

#: Events at each scrape.
_RATE: Final = 1000.0
#: How far above and below a limit the tests go.
_ABOVE, _BELOW = 1.25, 0.8
#: The same for events that are due: in a short window a scrape more or less counts.
_MUCH, _LITTLE = 1.7, 0.6


def render_rule_tests(contracts: Sequence[Contract], settings: RuleSettings) -> bytes:
    """The file for `promtool test rules`, beside the rules that `render_rules` makes of the same input."""
    contracts = sorted(contracts, key=lambda contract: contract.dataset)
    clock = Clock(settings)
    cases: list[Case] = []
    for contract in contracts:
        cases.append(_clean(contract, clock))
        if binned_fields(contract):
            cases += [_drift(contract, clock, _ABOVE), _drift(contract, clock, _BELOW)]
            cases += [_rare(contract, clock, _ABOVE), _rare(contract, clock, _BELOW)]
        cases += [_rejects(contract, clock, _ABOVE), _rejects(contract, clock, _BELOW)]
    names = [contract.dataset for contract in contracts]
    cases += [_silence(names, clock), _few_due(names, clock, _MUCH), _few_due(names, clock, _LITTLE)]
    cases += [*_volume(names, clock), *_collector(names, clock), _idle(contracts, clock)]
    document: dict[str, Any] = {
        "rule_files": [RULES_FILE],
        "evaluation_interval": duration_text(clock.evaluation_s),
        "tests": [case.document() for case in cases],
    }
    return (header("Tests of the alerting rules", contracts, settings) + yaml_text(document)).encode()


def _duration_s(clock: Clock) -> float:
    """Until the longest of the short windows is full."""
    return clock.settings.drift_windows()[-1].length_s


def _values(case: Case, contract: Contract, label: str, shares: Mapping[str, float]) -> None:
    for each, share in shares.items():
        if share:  # else it says nothing, and half of all bins are such
            labels = {"dataset": contract.dataset, "field": label, "bin": each}
            case.shared("assay_field_values_total", labels, _RATE * share)


def _expected(case: Case, contract: Contract, label: str, bins: Bins) -> None:
    for each in bins.labels:
        labels = {"dataset": contract.dataset, "field": label, "bin": each}
        case.constant("assay_field_expected_ratio", labels, bins.share.get(each, 0.0))


def _clean(contract: Contract, clock: Clock) -> Case:
    """All is as the profile says, on two collectors, one of which restarts; a source that has sent nothing is idle."""
    case = Case(f"{contract.dataset}: clean data, two collectors, one restarts", clock, 2 * _duration_s(clock))
    dataset = contract.dataset
    for label, field in binned_fields(contract):
        assert field.bins is not None
        _expected(case, contract, label, field.bins)
        _values(case, contract, label, field.bins.share)
    for label, _ in contract.root.walk():
        case.constant("assay_violations_total", {"dataset": dataset, "field": label, "type": "missing"}, 0)
    for source, rate in (("unknown", _RATE), ("idle", 0)):
        for outcome in ("accepted", "flagged", "rejected"):
            labels = {"dataset": dataset, "source": source, "outcome": outcome}
            case.shared("assay_events_total", labels, rate if outcome == "accepted" else 0)
    case.counter(
        "assay_last_event_timestamp_seconds", {"dataset": dataset}, (clock.settings.scrape_interval_s, case.until_s)
    )
    for instance, up in (("a", 1), ("b", 0)):
        case.restarted("assay_not_storable_total", {"dataset": dataset, "instance": instance}, 0)
        case.constant("assay_log_oldest_seconds", {"instance": instance}, 59)
        version = {"dataset": dataset, "version": str(contract.version), "mode": "enforce", "instance": instance}
        case.constant("assay_contract_info", version, 1)
        case.constant("up", {"job": clock.settings.job, "instance": instance}, up)
    case.silent()
    return case


def _drift(contract: Contract, clock: Clock, factor: float) -> Case:
    """Each field's values move into one of its bins, until their distance is `factor` times the limit."""
    side = "beyond" if factor > 1 else "within"
    case = Case(f"{contract.dataset}: fields drift, {side} the limit", clock, _duration_s(clock))
    dataset = contract.dataset
    count = clock.counted(_RATE, clock.settings.drift_windows()[-1])
    drifting = []
    for label, field in binned_fields(contract):
        bins = field.bins
        assert bins is not None
        limit = drift_base(bins, clock.settings) + drift_k(bins) * (1 / count + 1 / bins.rows)
        shares = _moved(bins, factor * limit)
        if shares is None:  # even all values in one bin are no more than chance can do after so few rows
            continue
        _expected(case, contract, label, bins)
        _values(case, contract, label, shares)
        drifting.append({"field": label})
    case.firing("FieldDrift", ("field",), drifting if factor > 1 else [], dataset=dataset)
    return case


def _moved(bins: Bins, distance: float) -> dict[str, float] | None:
    """Shares at this triangular distance from the profile's, reached by moving values into the rarest own bin."""
    own = [each for each in bins.labels if each not in SPECIAL_BINS] or list(bins.labels)
    target = min(own, key=lambda each: bins.share.get(each, 0.0))

    def mixed(part: float) -> dict[str, float]:
        return {
            each: (1 - part) * bins.share.get(each, 0.0) + (part if each == target else 0.0) for each in bins.labels
        }

    def reached(part: float) -> float:
        pairs = [(share, bins.share.get(each, 0.0)) for each, share in mixed(part).items()]
        return 2 * math.fsum((p - q) ** 2 / (p + max(q, 0.5 / bins.rows)) for p, q in pairs)

    part = _solve(reached, distance)
    return None if part is None else mixed(part)


def _solve(rising: Callable[[float], float], wanted: float) -> float | None:
    """Where a rising function of [0, 1] reaches `wanted`; None where it never does."""
    if rising(1.0) < wanted:
        return None
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return high


def _count_limit(expected: float) -> float:
    return 3 + expected + 6 * math.sqrt(expected)


def _rare(contract: Contract, clock: Clock, factor: float) -> Case:
    """Each field has `factor` times as many values in its rarest special bin as chance explains."""
    side = "beyond" if factor > 1 else "within"
    case = Case(f"{contract.dataset}: values in rare bins, {side} the limit", clock, _duration_s(clock))
    window = clock.settings.drift_windows()[-1]
    total = clock.counted(_RATE, window)
    firing = []
    for label, field in binned_fields(contract):
        bins = field.bins
        assert bins is not None
        rare = min(SPECIAL_BINS, key=lambda each: bins.share.get(each, 0.0))
        share = bins.share.get(rare, 0.0)
        bound = (share + 6 * math.sqrt(share / bins.rows) + 8 / bins.rows) * total
        seen = factor * _count_limit(bound) / total
        if seen > 1:
            continue
        others = 1 - share
        shares = {
            each: seen if each == rare else bins.share.get(each, 0.0) * (1 - seen) / (others or 1)
            for each in bins.labels
        }
        _expected(case, contract, label, bins)
        _values(case, contract, label, shares)
        firing.append({"field": label, "bin": rare})
    case.firing("FieldRareBin", ("field", "bin"), firing if factor > 1 else [], dataset=contract.dataset)
    return case


def _rejects(contract: Contract, clock: Clock, factor: float) -> Case:
    """One of two sources has `factor` times as many events rejected as chance explains, seen by two collectors."""
    side = "beyond" if factor > 1 else "within"
    case = Case(f"{contract.dataset}: rejected events, {side} the limit", clock, _duration_s(clock))
    dataset, window = contract.dataset, clock.settings.drift_windows()[-1]
    good = _RATE / 20
    total = clock.counted(_RATE + good, window)
    # Beyond the limit of the dataset, the higher one; or within that of the source, the lower one.
    judged = total if factor > 1 else clock.counted(_RATE, window)
    rejected = factor * _count_limit(reject_share(contract) * judged) / clock.counted(1, window)
    possible = rejected <= _RATE
    rejected = min(rejected, _RATE)
    for source, accepted, refused in (("good", good, 0.0), ("bad", _RATE - rejected, rejected)):
        labels = {"dataset": dataset, "source": source}
        case.shared("assay_events_total", {**labels, "outcome": "accepted"}, accepted)
        case.shared("assay_events_total", {**labels, "outcome": "rejected"}, refused)
    broken = []
    for label, field in contract.root.walk():
        share = max(violation_share(contract), sum(field.evidence.get("refusals", {}).values()))
        violations = factor * _count_limit(share * total) / clock.counted(1, window)
        labels = {"dataset": dataset, "field": label, "type": "missing"}
        case.shared("assay_violations_total", labels, violations)
        broken.append({"field": label})
    fires = factor > 1
    case.firing("FieldViolations", ("field",), broken if fires else [], dataset=dataset)
    if possible:
        case.firing("RejectRate", ("dataset",), [{"dataset": dataset}] if fires else [], dataset=dataset)
        case.firing("SourceRejectRate", ("source",), [{"source": "bad"}] if fires else [], dataset=dataset)
    return case


def _silence(datasets: Sequence[str], clock: Clock) -> Case:
    """Every dataset stops at once; one that no contract names, and one that has been idle, stay silent."""
    end = clock.at(235)
    stop = end - 55
    case = Case("events stop", clock, end)
    for dataset in (*datasets, "_learning"):
        labels = {"dataset": dataset, "source": "unknown", "outcome": "accepted"}
        case.counter("assay_events_total", labels, (_RATE, stop), (0, end - stop))
        case.constant("assay_last_event_timestamp_seconds", {"dataset": dataset}, stop)
    case.firing("Silence", ("dataset",), [], at_s=stop + 40)
    case.firing("Silence", ("dataset",), [{"dataset": dataset} for dataset in datasets])
    return case


def _few_due(datasets: Sequence[str], clock: Clock, factor: float) -> Case:
    """Every dataset stops, of which `factor` times 20 events would have come since, on two collectors."""
    side = "beyond" if factor > 1 else "within"
    window_s = clock.settings.windows()[-1].length_s
    # The window ends 45 s before the last look, the events 10 s earlier. They began with the test.
    end = clock.at(360)
    stop = end - 55
    seen_s = min(stop, window_s - 10)
    rate = factor * 20 / 55 * window_s / seen_s * clock.settings.scrape_interval_s
    case = Case(f"events stop that were few, {side} the limit", clock, end)
    for dataset in datasets:
        for instance in ("a", "b"):
            labels = {"dataset": dataset, "source": "unknown", "outcome": "accepted", "instance": instance}
            phases = ((rate / 2, stop / 2), (rate / 2, stop / 2), (0.0, end - stop))
            case.counter("assay_events_total", labels, *phases)
        case.constant("assay_last_event_timestamp_seconds", {"dataset": dataset}, stop)
    case.firing("Silence", ("dataset",), [{"dataset": dataset} for dataset in datasets] if factor > 1 else [])
    return case


def _volume(datasets: Sequence[str], clock: Clock) -> list[Case]:
    """All is as usual; then the rate changes, a little less than what is alarming, then a little more."""
    windows = clock.settings.volume_windows()
    if windows is None:
        return []
    current, usual = windows
    phase_s = clock.at(current.length_s)
    lead_s = clock.at(usual.length_s + phase_s)
    rates = [_RATE] * round(lead_s / phase_s)
    ends: list[tuple[str, float]] = []
    for alert, share, margin in (
        ("", 0.75, 0.05),
        ("", 1.5, -0.05),
        ("VolumeDrop", 0.75, -0.05),
        ("VolumeSurge", 1.5, 0.05),
    ):
        before = rates[-round(usual.length_s / phase_s) :]
        mean = math.fsum(before) / len(before)
        count = clock.counted(mean, current)
        noise = 4 / math.sqrt(count)
        rates.append(mean * (share + margin + (noise + 4 / count if share > 1 else -noise)))
        ends.append((alert, len(rates) * phase_s))
    case = Case("the volume changes", clock, len(rates) * phase_s)
    for dataset in datasets:
        for instance in ("a", "b"):
            labels = {"dataset": dataset, "source": "unknown", "outcome": "accepted", "instance": instance}
            phases = [(rate / 2, phase_s) for rate in rates]
            case.counter("assay_events_total", labels, *phases, restarts=instance == "b")
    everyone = [{"dataset": dataset} for dataset in datasets]
    for alert, end_s in ends:
        for each in (alert,) if alert else ("VolumeDrop", "VolumeSurge"):
            case.firing(each, ("dataset",), everyone if alert else [], at_s=end_s)
    return [case]


def _collector(datasets: Sequence[str], clock: Clock) -> list[Case]:
    """The collectors themselves: down, behind with the store, refused by the store, not of one mind."""
    minutes = 180 + 2 * clock.settings.evaluation_interval_s
    case = Case("the collectors are down, and were behind", clock, minutes)
    for instance, oldest_s in (("a", 61), ("b", 59)):
        case.constant("up", {"job": clock.settings.job, "instance": instance}, 0)
        case.constant("assay_log_oldest_seconds", {"instance": instance}, oldest_s)
    everyone = [{"dataset": dataset} for dataset in datasets]
    for dataset in datasets:
        for instance, version in (("a", "1"), ("b", "2")):
            labels = {"dataset": dataset, "version": version, "mode": "enforce", "instance": instance}
            case.constant("assay_contract_info", labels, 1)
        # One event, on a collector of which the other restarts.
        case.counter(
            "assay_not_storable_total",
            {"dataset": dataset, "instance": "a"},
            (0, minutes - 30),
            (1, clock.settings.scrape_interval_s),
            (0, 30),
        )
        case.restarted("assay_not_storable_total", {"dataset": dataset, "instance": "b"}, 0)
    case.firing("CollectorDown", (), [{}])
    case.firing("LogBacklog", ("instance",), [{"instance": "a"}])
    case.firing("NotStorable", ("dataset",), everyone)
    case.firing("ContractsDiffer", ("dataset",), [], at_s=clock.at(45))
    case.firing("ContractsDiffer", ("dataset",), everyone)
    return [case]


def _idle(contracts: Sequence[Contract], clock: Clock) -> Case:
    """All series are there, and nothing was ever sent."""
    idle = Case("nothing was ever sent", clock, _duration_s(clock))
    idle.constant("up", {"job": clock.settings.job, "instance": "a"}, 1)
    for contract in contracts:
        dataset = contract.dataset
        for outcome in ("accepted", "flagged", "rejected"):
            idle.constant("assay_events_total", {"dataset": dataset, "source": "unknown", "outcome": outcome}, 0)
        idle.constant("assay_not_storable_total", {"dataset": dataset}, 0)
        for label, field in binned_fields(contract):
            assert field.bins is not None
            _expected(idle, contract, label, field.bins)
            for each in field.bins.labels:
                idle.constant("assay_field_values_total", {"dataset": dataset, "field": label, "bin": each}, 0)
        for label, _ in contract.root.walk():
            idle.constant("assay_violations_total", {"dataset": dataset, "field": label, "type": "missing"}, 0)
    idle.silent()
    return idle
