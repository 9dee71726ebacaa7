"""The simulation of many writers to one catalogue: its clock, and the cases that can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benches.scale import __main__ as command
from benches.scale.simulate import Clock, Commits, Costs, Processors, Retries, as_measured, simulate

#: 30 ms to prepare and 10 ms to commit, of nobody's processor: time alone.
QUIET = Costs(
    prepare_catalogue=0.0,
    prepare_collector=0.03,
    prepare_statements=0,
    attempt_catalogue=0.0,
    attempt_collector=0.01,
    attempt_statements=0,
    trip=0.0,
)
BUSY = as_measured({"catalogue_cpu_ms": 6.3, "writer_cpu_ms": 16.6})


def test_processors_are_shared_alike() -> None:
    clock = Clock()
    ended: dict[str, float] = {}
    processors = Processors(clock, 1)
    for name, seconds in (("short", 1.0), ("long", 2.0)):
        processors.work(seconds, lambda name=name: ended.__setitem__(name, clock.now))  # type: ignore[misc]
    clock.at(3.5, lambda: processors.work(1.0, lambda: ended.__setitem__("late", clock.now)))
    clock.run(10)
    # Both have half of it until the short one has had its second; the long one then has it all.
    assert ended == {"short": 2.0, "long": 3.0, "late": 4.5}
    assert processors.busy == pytest.approx(4.0)


def test_more_processors_than_jobs_do_not_hurry() -> None:
    clock, ended = Clock(), []
    processors = Processors(clock, 4)
    for _ in range(2):
        processors.work(1.0, lambda: ended.append(clock.now))
    clock.run(10)
    assert ended == [1.0, 1.0]


def test_one_alone_is_never_refused() -> None:
    ran = simulate(Commits(1, 0.0), QUIET, seconds=200)
    assert (ran.refused, ran.failed) == (0, 0)
    # What a step takes is spread log-normally, whose mean is above its median by exp(0.35² / 2).
    assert ran.commits_s == pytest.approx(1 / (0.04 * 1.063), rel=0.03)


def test_two_at_once_refuse_each_other_and_wait() -> None:
    """Each round of one that ends within the other's refuses it once; the wait is longer than a round."""
    ran = simulate(Commits(2, 0.0), QUIET, seconds=400)
    alone = simulate(Commits(1, 0.0), QUIET, seconds=400)
    assert 0.2 < ran.refused_each < 1
    assert ran.commits_s < 2 * alone.commits_s
    assert ran.quantile(0.99) > 0.1


def test_collectors_that_commit_seldom_are_all_served() -> None:
    ran = simulate(Commits(20, 20.0), BUSY, seconds=400)
    assert ran.commits_s == pytest.approx(1.0, rel=0.05)
    assert (ran.failed, ran.late) == (0, 0)


def test_a_catalogue_has_an_end_and_more_catalogues_have_more() -> None:
    asked = Commits(300, 1.0)
    one = simulate(asked, BUSY, seconds=30, warm_up=20)
    twice = simulate(Commits(600, 1.0), BUSY, seconds=30, warm_up=20)
    four = simulate(Commits(300, 1.0, catalogues=4), BUSY, seconds=30, warm_up=20)
    assert one.commits_s < 300
    assert twice.commits_s < 1.3 * one.commits_s  # who asks for more does not get it
    assert four.commits_s > 2 * one.commits_s


def test_who_never_tries_again_fails() -> None:
    ran = simulate(Commits(4, 0.0), QUIET, Retries(most=0), seconds=60)
    assert ran.failed == ran.refused > 0


def test_the_same_seed_gives_the_same() -> None:
    first, again, other = (simulate(Commits(5, 0.5), BUSY, seconds=30, seed=seed) for seed in (1, 1, 2))
    assert first.took == again.took
    assert first.took != other.took


def test_the_results_are_those_of_the_measurements() -> None:
    folder = Path(command.__file__).parent
    found = json.loads((folder / "commits.json").read_text())
    written = (folder / "RESULTS.md").read_text()
    for row in command._measured(found):
        assert command.table([""] * len(row), [row]).splitlines()[-1] in written.splitlines()
    assert {each["writers"] for each in found["closed"]} == {1, 2, 4, 8, 16}
