from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from assay.contract.document import Contract
from assay.contract.models import violation_types
from assay.errors import StoreFailed
from assay.monitor.metrics import Metrics
from tests.monitor.samples import NASTY_NAMES, categories, contract, learned, nasty

SCRAPER = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
TABLE = [("price", "less_than_equal"), ("price", "missing"), ("note", "string_type")]


ORDER = ("dataset", "source", "outcome", "field", "type", "bin", "version", "mode", "le")


def series(metrics: Metrics, accept: str | None = None) -> dict[tuple[str, ...], float]:
    """Each sample by its name and label values."""
    if accept is not None:
        body, content_type = metrics.exposition(accept)
        assert content_type.startswith("application/openmetrics-text")
        families = list(text_string_to_metric_families(body.decode()))  # type: ignore[no-untyped-call]
    else:
        families = list(metrics.registry.collect())
    return {
        (s.name, *(s.labels[label] for label in ORDER if label in s.labels)): s.value
        for family in families
        for s in family.samples
    }


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics(max_sources=3)
    made.watch(learned(), "enforce", TABLE)
    return made


def test_every_series_exists_at_zero(metrics: Metrics) -> None:
    found = series(metrics)
    for outcome in ("accepted", "flagged", "rejected"):
        assert found["assay_events_total", "shop", "unknown", outcome] == 0
    for label, kind in [
        *TABLE,
        ("price", "_other"),
        ("to.zip", "_other"),
        ("_unexpected", "missing"),
        ("_unexpected", "_other"),
    ]:
        assert found["assay_violations_total", "shop", label, kind] == 0
    assert found["assay_field_values_total", "shop", "to.zip", "_other"] == 0
    assert found["assay_field_values_total", "shop", "member", "true"] == 0
    assert found["assay_field_expected_ratio", "shop", "member", "true"] == 0.1
    assert found["assay_field_expected_ratio", "shop", "member", "null"] == 0
    for name in ("unexpected_fields", "replayed", "not_storable"):
        assert found[f"assay_{name}_total", "shop"] == 0
    assert found["assay_contract_info", "shop", "3", "enforce"] == 1


def test_the_models_say_which_violations_there_are() -> None:
    metrics = Metrics()
    metrics.watch(learned(), "enforce")
    found = series(metrics)
    for label, field in learned().root.walk():
        for kind in violation_types(field):
            assert found["assay_violations_total", "shop", label, kind] == 0
    for kind in violation_types(learned().root):
        assert found["assay_violations_total", "shop", "", kind] == 0


def test_counts(metrics: Metrics) -> None:
    violations = {("price", "missing"): 1, ("price", "surprise"): 1, ("who?", "missing"): 1, ("who?", "what?"): 1}
    metrics.count(
        dataset="shop", source="key", accepted=5, flagged=2, rejected=3, violations=violations, unexpected=4, now=7.5
    )
    metrics.count_values(learned(), [{"price": 5, "member": True}, {"price": 10.5, "member": None}])
    metrics.count_replayed("shop", 2)
    metrics.count_not_storable("shop", 1)
    found = series(metrics)
    assert [found["assay_events_total", "shop", "key", o] for o in ("accepted", "flagged", "rejected")] == [5, 2, 3]
    for label, kind in [
        ("price", "missing"),
        ("price", "_other"),
        ("_unexpected", "missing"),
        ("_unexpected", "_other"),
    ]:
        assert found["assay_violations_total", "shop", label, kind] == 1
    assert found["assay_unexpected_fields_total", "shop"] == 4
    assert found["assay_last_event_timestamp_seconds", "shop"] == 7.5
    assert found["assay_field_values_total", "shop", "price", "b0"] == 1
    assert found["assay_field_values_total", "shop", "price", "b1"] == 1
    assert found["assay_field_values_total", "shop", "member", "true"] == 1
    assert found["assay_field_values_total", "shop", "member", "null"] == 1
    assert found["assay_field_values_total", "shop", "age", "null"] == 2
    assert found["assay_replayed_total", "shop"] == 2
    assert found["assay_not_storable_total", "shop"] == 1


def test_nothing_sent_makes_a_series(metrics: Metrics) -> None:
    metrics.count(dataset="shop", source="unknown", accepted=1, now=1)
    before = set(series(metrics))
    metrics.count(dataset="shop", source="unknown", rejected=2, violations={("x", "y"): 1, ("price", "z"): 1}, now=1)
    metrics.count_values(learned(), [{"city": "nowhere", "price": [], "new": 1}])
    assert set(series(metrics)) == before


def test_sources_are_bounded(metrics: Metrics) -> None:
    for i in range(10):
        metrics.count(dataset="shop", source=f"s{i}", accepted=1, now=1)
    found = series(metrics)
    sources = {key[2] for key in found if key[0] == "assay_events_total" and key[1] == "shop"}
    assert sources == {"unknown", "s0", "s1", "_other"}
    assert found["assay_events_total", "shop", "_other", "accepted"] == 8


def test_a_dataset_without_a_contract_is_learning(metrics: Metrics) -> None:
    metrics.count(dataset="new", source="unknown", accepted=2, now=3)
    metrics.count_values(contract("new", {}), [{}])
    found = series(metrics)
    assert found["assay_events_total", "_learning", "unknown", "accepted"] == 2
    assert not [key for key in found if "new" in key]


def test_a_new_version_replaces_the_series(metrics: Metrics) -> None:
    metrics.count(dataset="shop", source="unknown", accepted=1, violations={("price", "missing"): 1}, now=1)
    fields = {
        "city": {"type": "string", "x-assay": {"bins": categories(rome=0.5, kyiv=0.5)}},
        "price": {"type": "number"},
    }
    metrics.watch(contract("shop", fields, version=4), "observe", [("price", "missing")])
    found = series(metrics)
    assert [key for key in found if key[0] == "assay_contract_info"] == [
        ("assay_contract_info", "shop", "4", "observe")
    ]
    assert {key[3] for key in found if key[0] == "assay_field_values_total"} == {
        "rome",
        "kyiv",
        "null",
        "low",
        "high",
        "_other",
    }
    assert {key[2] for key in found if key[0] == "assay_field_expected_ratio"} == {"city"}
    assert ("assay_violations_total", "shop", "note", "string_type") not in found
    assert found["assay_events_total", "shop", "unknown", "accepted"] == 1
    assert found["assay_violations_total", "shop", "price", "missing"] == 1


def test_unwatched(metrics: Metrics) -> None:
    metrics.count(dataset="shop", source="unknown", accepted=1, now=1)
    metrics.unwatch("shop")
    assert not [key for key in series(metrics) if "shop" in key]
    metrics.count(dataset="shop", source="unknown", accepted=1, now=1)
    assert series(metrics)["assay_events_total", "_learning", "unknown", "accepted"] == 1


def test_a_scraper_sees_each_counter_at_zero_first(metrics: Metrics) -> None:
    key = ("assay_events_total", "shop", "new", "rejected")
    series(metrics, SCRAPER)
    metrics.count(dataset="shop", source="new", rejected=3, now=1)
    assert series(metrics)[key] == 3, "a person sees the truth"
    assert series(metrics, SCRAPER)[key] == 0
    assert series(metrics, SCRAPER)[key] == 3
    metrics.count(dataset="shop", source="new", rejected=1, now=1)
    assert series(metrics, SCRAPER)[key] == 4


def test_gauges(metrics: Metrics) -> None:
    metrics.gauges(lambda: {"log_events": 7, "store_bytes": 0})
    found = series(metrics)
    assert found["assay_log_events",] == 7
    assert ("assay_log_bytes",) not in found

    def fail() -> Mapping[str, float]:
        raise StoreFailed("here", "gone")

    metrics.gauges(fail)
    assert ("assay_events_total", "shop", "unknown", "accepted") in series(metrics, SCRAPER)


def test_last_event_is_restored_and_never_goes_back(metrics: Metrics) -> None:
    metrics.last_event("shop", 50)
    metrics.count(dataset="shop", source="unknown", accepted=1, now=40)
    assert series(metrics)["assay_last_event_timestamp_seconds", "shop"] == 50
    metrics.count(dataset="shop", source="unknown", now=60)
    assert series(metrics)["assay_last_event_timestamp_seconds", "shop"] == 50, "no event, no time"


def test_histograms(metrics: Metrics) -> None:
    for histogram in (metrics.commit_seconds, metrics.apply_seconds, metrics.request_seconds, metrics.batch_events):
        histogram.observe(1)
    found = series(metrics)
    assert found["assay_commit_seconds_bucket", "1.0"] == 1
    assert found["assay_batch_events_count",] == 1


@pytest.mark.parametrize("accept", [None, "", "*/*", "text/plain;version=0.0.4"])
def test_plain_text_unless_openmetrics_is_asked_for(metrics: Metrics, accept: str | None) -> None:
    body, content_type = metrics.exposition(accept)
    assert content_type.startswith("text/plain")
    assert b'assay_events_total{dataset="shop",outcome="accepted",source="unknown"} 0.0' in body


def test_names_are_escaped() -> None:
    metrics = Metrics()
    metrics.watch(nasty(), "enforce", [(name, "missing") for name in NASTY_NAMES])
    metrics.count_values(nasty(), [dict.fromkeys(NASTY_NAMES, name) for name in NASTY_NAMES])
    found = series(metrics, SCRAPER)
    assert {key[2] for key in found if key[0] == "assay_field_values_total"} == set(NASTY_NAMES)


def test_counted_in_threads_while_scraped(metrics: Metrics) -> None:
    contract: Contract = learned()

    def send(name: str) -> None:
        for _ in range(300):
            metrics.count(dataset="shop", source=name, accepted=1, now=1)
            metrics.count_values(contract, [{"price": 1}])

    threads = [threading.Thread(target=send, args=(f"s{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        metrics.exposition(SCRAPER)
    for thread in threads:
        thread.join()
    found = series(metrics)
    assert sum(value for key, value in found.items() if key[:2] == ("assay_events_total", "shop")) == 1200
    assert found["assay_field_values_total", "shop", "price", "b0"] == 1200
