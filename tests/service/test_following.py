"""A folder of contracts that follows a lake: what goes wrong is said once, and passes."""

from __future__ import annotations

from typing import cast

import pytest
from structlog.testing import capture_logs

from assay.errors import StoreUnreachable
from assay.service.following import Following
from assay.store.mirror import Mirror
from tests.e2e.harness import until


class Looks:
    """A mirror whose looks end as they are told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.count = 0
        self.is_closed = False

    def look(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.is_closed = True

    def two_more(self) -> None:
        before = self.count
        assert until(lambda: self.count >= before + 2, 10)


AWAY = StoreUnreachable("ducklake:postgres:dbname=d", "no server")


@pytest.mark.parametrize(
    "error",
    [AWAY, OSError(30, "Read-only file system"), ValueError("of our own")],
    ids=["away", "read-only", "a fault"],
)
def test_what_goes_wrong_is_known_until_it_is_over(error: Exception) -> None:
    looks = Looks()
    following = Following(cast("Mirror", looks), every_s=0.01)
    following.start()
    assert looks.count >= 1
    assert following.trouble is None
    looks.error = error
    looks.two_more()
    assert str(error) in str(following.trouble)
    looks.error = None
    looks.two_more()
    assert following.trouble is None
    following.stop()
    assert looks.is_closed
    count = looks.count
    following.stop()
    assert looks.count == count


def test_a_lake_that_is_away_at_the_start_is_said_once() -> None:
    looks = Looks()
    looks.error = AWAY
    following = Following(cast("Mirror", looks), every_s=0.01)
    with capture_logs() as said:
        following.start()
        looks.two_more()
        looks.error = None
        looks.two_more()
        following.stop()
    assert [each["event"] for each in said] == ["the contracts in force stay", "contracts come from the lake again"]
