"""Counters that outlive who counted."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from assay.monitor.memory import Memory, SharedHistogram, new_memory, parts


@pytest.fixture
def descriptor() -> Iterator[int]:
    descriptor = new_memory()
    yield descriptor
    os.close(descriptor)


def test_who_takes_over_goes_on_where_the_last_one_was(descriptor: int) -> None:
    first, reader = Memory(descriptor), Memory(descriptor)
    place = first.slot("events", ("d", 'a "source"\n'))
    assert place is not None
    first.counts[place] += 3
    second = Memory(descriptor)
    assert second.slot("events", ("d", 'a "source"\n')) == place
    assert second.slot("events", ("d", "é")) == place + 1
    second.counts[place] += 4
    assert reader.slots() == {("events", ("d", 'a "source"\n')): 0, ("events", ("d", "é")): 1}
    assert reader.counts[place] == 7
    for each in (first, second, reader):
        each.close()


def test_what_was_counted_before_a_kill_is_there(descriptor: int) -> None:
    program = (
        "import os, signal, sys; from assay.monitor.memory import Memory\n"
        "memory = Memory(int(sys.argv[1])); place = memory.slot('n', ()); memory.counts[place] += 5\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(descriptor)], pass_fds=[descriptor], check=False)
    assert ended.returncode == -signal.SIGKILL
    memory = Memory(descriptor)
    assert memory.counts[memory.slots()["n", ()]] == 5
    memory.close()


def test_a_name_that_was_half_written_is_none(descriptor: int) -> None:
    """Whoever wrote it died before it said so."""
    first = Memory(descriptor)
    first.slot("a", ())
    begin = first._map.find(b'["a"]\n')
    first._map[begin + 6 : begin + 10] = b'["b"'
    second = Memory(descriptor)
    assert second.slot("c", ()) == 1
    assert list(first.slots()) == [("a", ()), ("c", ())]
    first.close()
    second.close()


def test_without_room_a_series_has_no_place(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.monitor.memory._SLOTS", 2)
    memory = Memory(descriptor)
    assert [memory.slot(name, ()) for name in "abca"] == [0, 1, None, 0]
    memory.close()


def test_a_histogram_counts_at_and_below_each_bound(descriptor: int) -> None:
    memory = Memory(descriptor)
    histogram = SharedHistogram(memory, "h", (1, 10))
    for amount in (0, 1, 2, 10, 11):
        histogram.observe(amount)
    places = [memory.slots()[part] for part in parts("h", (1, 10))]
    assert [memory.counts[place] for place in places[:-1]] == [2, 2, 1]
    assert memory.reals[places[-1]] == 24
    memory.close()
