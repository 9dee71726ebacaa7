"""`assay profile` and `assay learn` of parts of what is stored, and what changed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.conftest import NUMBER, Bench
from tests.test_workspace import answering

DICE = random.Random(3)
NO_ALERTS = json.dumps({"data": {"result": []}}).encode()


@pytest.fixture
def stored(bench: Bench) -> Bench:
    """A dataset with a table, and a version that was learned."""
    bench.enforce("d", {"n": NUMBER})
    with bench.service() as service:
        service.lines("/collect/d", *({"n": DICE.gauss(5, 1)} for _ in range(600)))
        service.flush()
    return bench


def test_what_changed_since_a_version(assay: Command, stored: Bench, tmp_path: Path) -> None:
    assert assay("learn", "d", "--since", "7d").code == 0
    assert "600 rows" in assay("profile", "d", "--since", "1h").out
    ran = assay("profile", "d", "--against", "d@2")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "d@2 (600 rows) to d (600 rows)")
    assert "no change in n" in ran.out
    file = tmp_path / "later.ndjson"
    file.write_text("\n".join(json.dumps({"n": DICE.gauss(9, 1), "more": 1}) for _ in range(600)))
    ran = assay("profile", str(file), "--against", str(stored.versions.profile_path("d", 2)), "--json")
    assert [(each["field"], each["status"]) for each in ran.document["fields"]] == [("more", "new"), ("n", "changed")]


def test_hours_with_alerts_are_left_out(assay: Command, stored: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, NO_ALERTS) as port:
        monkeypatch.setenv("ASSAY_PROMETHEUS_URL", f"http://127.0.0.1:{port}")
        ran = assay("learn", "d", "--since", "7d", "--exclude-alerts", "--json")
        assert (ran.code, ran.document["rows"]) == (0, 600)
        assert "0 hours are left out" in ran.err
    now = stored.rows("SELECT max(epoch(_collected_at)) FROM d")[0]
    firing = json.dumps({"data": {"result": [{"values": [[now - 3600, "1"], [now + 60, "1"]]}]}}).encode()
    with answering(200, firing) as port:
        monkeypatch.setenv("ASSAY_PROMETHEUS_URL", f"http://127.0.0.1:{port}")
        ran = assay("learn", "d", "--since", "7d", "--exclude-alerts")
        assert (ran.code, "an alert was firing" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["learn", "d", "--exclude-alerts"], 2, "say --since, too"),
        (["learn", "d", "--since", "7d", "--exclude-alerts"], 2, "set prometheus_url"),
        (["learn", "d", "--since", "yesterday"], 2, "is no duration"),
        (["learn", "d", "--since", "99999999d"], 2, "longer ago than there are years"),
        (["profile", "d", "--against", "d@1"], 2, "d@1 has no profile: it was not learned"),
        (["profile", "d@9"], 2, "d has no version 9"),
        (["profile", "assay.toml", "--since", "1h"], 2, "--since is for what is stored"),
        (["profile", "d", "--against", "NOTHING"], 2, "neither a file that is there nor the name of a dataset"),
    ],
)
def test_it_is_used_wrongly(assay: Command, stored: Bench, arguments: list[str], code: int, says: str) -> None:
    ran = assay(*arguments)
    assert (ran.code, says in ran.err) == (code, True), ran.err
    assert stored.versions.numbers("d") == [1]


def test_a_prometheus_that_is_not_there(assay: Command, stored: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_PROMETHEUS_URL", "http://127.0.0.1:1")
    ran = assay("learn", "d", "--since", "7d", "--exclude-alerts")
    assert (ran.code, "does not say which alerts were firing" in ran.err) == (3, True)
    assert stored.versions.numbers("d") == [1]


def test_since_while_it_is_learning(assay: Command, bench: Bench) -> None:
    with bench.service() as service:
        service.lines("/collect/d", *({"n": n} for n in range(300)))
        service.flush()
    assert "300 rows" in assay("profile", "d", "--since", "1h").out
