"""Identifiers that sort by time."""

from __future__ import annotations

import time
import uuid
from itertools import islice

from assay.ingest.identity import uuid7, uuid7s


def test_they_are_version_7_and_tell_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid.UUID(text) for text in [uuid7(), *islice(uuid7s(), 1000)]]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == 1001
    assert {(each.version, each.variant) for each in made} == {(7, uuid.RFC_4122)}
    assert all(before <= each.int >> 80 <= after for each in made)


def test_all_other_bits_are_random() -> None:
    made = [uuid.UUID(text).int & (1 << 76) - 1 for text in islice(uuid7s(), 200)]
    for bit in [*range(62), *range(64, 76)]:
        assert {each >> bit & 1 for each in made} == {0, 1}, bit


def test_the_text_is_as_it_is_usually_written() -> None:
    for text in islice(uuid7s(), 10):
        assert str(uuid.UUID(text)) == text
