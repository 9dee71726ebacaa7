"""The evaluator against Prometheus' own engine: the same alerts at the same evaluations, over traffic with faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.monitor.evaluate import Firing, evaluate, read_rules
from assay.monitor.expression import Aggregate, Binary, Call, Matcher, Number, Selector, parse
from assay.monitor.promtool import find_promtool, run_rule_tests
from assay.monitor.promtool_replay import replay_test
from assay.monitor.range_functions import Scraped
from assay.monitor.rule_settings import duration_text
from assay.monitor.rules import RULES_FILE, RuleSettings, render_rules
from assay.monitor.series_frame import Doubles, Labels, labelled
from assay.monitor.yaml_text import yaml_text
from tests.monitor.samples import learned

LOCAL = Path(__file__).parents[2] / ".tools/prometheus/usr/bin"


@pytest.fixture(scope="module")
def promtool() -> Path:
    found = find_promtool([LOCAL])
    if found is None:
        pytest.skip("promtool is neither on PATH nor in .tools/: bin/test.sh installs it")
    return found


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("1e-05 + 2 * x ^ 2", Binary("+", Number(1e-5), Binary("*", Number(2), Binary("^", Selector("x"), Number(2))))),
        ("a - b - c", Binary("-", Binary("-", Selector("a"), Selector("b")), Selector("c"))),
        (
            "a or b and c > 1",
            Binary("or", Selector("a"), Binary("and", Selector("b"), Binary(">", Selector("c"), Number(1)))),
        ),
        (
            'sum by (a, b) (rate(x:y_total{c="d\\"", e=~"f|g"}[5m] offset 45s))',
            Aggregate(
                "sum",
                ("a", "b"),
                Call(
                    "rate",
                    (Selector("x:y_total", (Matcher("c", "=", 'd"'), Matcher("e", "=~", "f|g")), 300, 45),),
                ),
            ),
        ),
        ("x * on (a) group_left () y", Binary("*", Selector("x"), Selector("y"), ("a",), many=True)),
        ("vector(1) and on () (time())", Binary("and", Call("vector", (Number(1),)), Call("time", ()), ())),
    ],
)
def test_promql_is_read(text: str, tree: object) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a +",
        "a b",
        "sum(a",
        "a{b}",
        "a{b>'c'}",
        "histogram_quantile(1, a)",
        "a[5m",
        "a * on (b) group_left (c) d",
        "§",
    ],
)
def test_what_generated_rules_do_not_use_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="PromQL"):
        parse(text)


def frame(labels: list[Labels], values: Doubles, times: Doubles) -> Scraped:
    return Scraped(times, tuple(labels), values)


def traffic(seed: int, until_s: int, *, scrape_s: int) -> dict[str, list[Scraped]]:
    """Two collectors of the dataset `shop`, one of which restarts and misses scrapes; data that goes wrong by turns."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[Scraped]] = {}
    contract = learned()
    for number, instance in enumerate(("a", "b")):
        times = np.arange(scrape_s * number / 2 // 1, until_s, scrape_s, dtype=np.float64)
        times = times[rng.random(len(times)) > 0.02]
        n = len(times)
        wrong = (times // 450).astype(int) % 4  # seven minutes each: right, nulls, rejects, silence
        rate = np.where(wrong == 3, 0, 20 * scrape_s)
        events = rng.poisson(rate)
        gone = rng.random(n) < 0.01
        restarted = n // 3 if number else n

        def counter(steps: Doubles, restarted: int = restarted, gone: npt.NDArray[np.bool_] = gone) -> Doubles:
            values = np.cumsum(steps, axis=-1)
            values[:, restarted:] -= values[:, restarted : restarted + 1]
            values[:, gone] = np.nan
            return values

        own = ("instance", instance)
        rows: list[tuple[str, list[Labels], Doubles]] = []
        rejected = np.where(wrong == 2, rng.binomial(events, 0.02), 0)
        labels = [
            labelled([own, ("dataset", "shop"), ("source", "s"), ("outcome", o)]) for o in ("accepted", "rejected")
        ]
        rows.append(("assay_events_total", labels, counter(np.stack([events - rejected, rejected]).astype(float))))
        labels = [labelled([own, ("dataset", "shop"), ("field", "price"), ("type", "missing")])]
        rows.append(("assay_violations_total", labels, counter(rejected[None, :].astype(float))))
        for label, field in contract.root.walk():
            if field.bins is None:
                continue
            names = field.bins.labels
            share = np.array([field.bins.share.get(name, 0.0) for name in names])
            shifted = np.where(np.array(names) == "null", 0.03, share * 0.97 / share.sum())
            p = np.where(((wrong == 1) & (label == "price"))[:, None], shifted / shifted.sum(), share / share.sum())
            counts = rng.multinomial(events, p).T.astype(float)
            labels = [labelled([own, ("dataset", "shop"), ("field", label), ("bin", name)]) for name in names]
            rows.append(("assay_field_values_total", labels, counter(counts)))
            ratio = np.repeat(share[:, None], n, axis=1)
            rows.append(("assay_field_expected_ratio", labels, np.where(gone, np.nan, ratio)))
        last = np.maximum.accumulate(np.where(events > 0, times, 0))
        rows.append(("assay_last_event_timestamp_seconds", [labelled([own, ("dataset", "shop")])], last[None, :]))
        version = np.where((times > 600) & (times < 750) & (number == 1), np.nan, 1.0)
        rows.append(("assay_contract_info", [labelled([own, ("dataset", "shop"), ("version", "3")])], version[None, :]))
        other = np.where(np.isnan(version), 1.0, np.nan)
        rows.append(("assay_contract_info", [labelled([own, ("dataset", "shop"), ("version", "4")])], other[None, :]))
        refused = np.where((times > 1000) & (times < 1000 + 2 * scrape_s), 1.0, 0.0)
        rows.append(("assay_not_storable_total", [labelled([own, ("dataset", "shop")])], counter(refused[None, :])))
        oldest = np.where((times > 1200) & (times < 1350), times - 1200, 1.0)
        rows.append(("assay_log_oldest_seconds", [labelled([own])], oldest[None, :]))
        up = np.where((times > 1500) & (times < 1600), 0.0, 1.0)
        rows.append(("up", [labelled([own, ("job", "assay")])], up[None, :]))
        for metric, names_of_rows, values in rows:
            found.setdefault(metric, []).append(frame(names_of_rows, values, times))
    return found


@pytest.mark.parametrize(
    ("settings", "seed"),
    [
        (RuleSettings(alert_windows=("1m", "10m"), alert_hold="2m"), 1),
        (RuleSettings(scrape_interval_s=15, evaluation_interval_s=15, alert_windows=("2m",), alert_hold="0s"), 2),
    ],
    ids=["every 5 s", "every 15 s"],
)
def test_the_same_alerts_at_the_same_evaluations(
    promtool: Path, tmp_path: Path, settings: RuleSettings, seed: int
) -> None:
    until_s = 1980
    step = settings.evaluation_interval_s
    scraped = traffic(seed, until_s, scrape_s=int(settings.scrape_interval_s))
    rules = render_rules([learned()], settings)
    at = np.arange(0, until_s, step)
    fired, _ = evaluate(read_rules(rules), scraped, at)
    assert {each.alert for each in fired} >= {
        "FieldDrift" if seed == 1 else "FieldRareBin",
        "FieldRareBin",
        "FieldViolations",
        "RejectRate",
        "SourceRejectRate",
        "Silence",
        "NotStorable",
        "ContractsDiffer",
        "LogBacklog",
        "CollectorDown",
    }
    test = replay_test(scraped, fired, at, interval_s=1, name="replayed")
    (tmp_path / RULES_FILE).write_bytes(rules)
    path = tmp_path / "t.yml"
    document = {"rule_files": [RULES_FILE], "evaluation_interval": duration_text(step), "tests": [test]}
    path.write_text(yaml_text(document))
    run_rule_tests(path, promtool)


def alert(expr: str, **more: str) -> str:
    lines = "".join(f"    {name}: {value}\n" for name, value in more.items())
    return f"groups:\n- name: g\n  rules:\n  - alert: A\n    expr: {expr}\n{lines}"


def runs(values: list[float], **more: str) -> list[tuple[float, float]]:
    """When an alert fires on a gauge above 0, looked at every second."""
    times = np.arange(len(values), dtype=np.float64)
    scraped = {"x": [Scraped(times, ((),), np.array([values]))]}
    keys = {name.replace("wait", "for"): value for name, value in more.items()}
    fired, _ = evaluate(read_rules(alert("x > 0", **keys)), scraped, times)
    assert all(each == Firing("A", (), each.first_s, each.last_s) for each in fired)
    return [(each.first_s, each.last_s) for each in fired]


@pytest.mark.parametrize(
    ("values", "more", "expected"),
    [
        ([0, 1, 1, 0, 0, 1, 0, 0], {}, [(1, 2), (5, 5)]),
        ([0, 1, 1, 1, 0, 1, 1, 0], {"wait": "2s"}, [(3, 3)]),
        ([0, 1, 0, 0, 0, 0, 0, 0], {"keep_firing_for": "2s"}, [(1, 3)]),
        ([0, 1, 0, 0, 1, 0, 0, 0], {"keep_firing_for": "2s"}, [(1, 6)]),
        ([0, 1, 0, 1, 0, 0, 0, 0], {"keep_firing_for": "2s"}, [(1, 5)]),
        ([0, 1, 0, 0, 0, 1, 0, 0], {"keep_firing_for": "2s"}, [(1, 3), (5, 7)]),
        ([0, 1, 1, 0, 1, 0, 0, 0], {"wait": "1s", "keep_firing_for": "2s"}, [(2, 6)]),
        ([1, 1, 1, 1, 1, 1, 1, 1], {"wait": "3s", "keep_firing_for": "2s"}, [(3, 7)]),
    ],
)
def test_an_alert_waits_and_is_kept(
    values: list[float], more: dict[str, str], expected: list[tuple[float, float]]
) -> None:
    assert runs(values, **more) == expected


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 4), st.integers(0, 4))
def test_an_alert_is_what_stepping_through_says(active: list[bool], wait: int, hold: int) -> None:
    more = {"wait": f"{wait}s"} | ({"keep_firing_for": f"{hold}s"} if hold else {})
    said = runs([float(each) for each in active], **more)
    firing = set()
    since: int | None = None
    fires = False
    gone: int | None = None
    for t, is_active in enumerate(active):  # as rules/alerting.go does it
        if is_active:
            gone = None
            since = t if since is None else since
            fires = fires or t - since >= wait
        else:
            if fires and hold:
                gone = t if gone is None else gone
            if not (fires and hold and gone is not None and t - gone < hold):
                since, fires, gone = None, False, None
        if fires:
            firing.add(float(t))
    assert {t for first, last in said for t in np.arange(first, last + 1)} == firing
