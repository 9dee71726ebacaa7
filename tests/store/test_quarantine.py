import uuid
from datetime import UTC, datetime, timedelta

import pytest

from assay.store.opening import AnyStore
from assay.store.protocol import Reject, reject_rows
from tests.lakes import Where, store_of

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def reject(number: int, *, dataset: str = "d", source: str = "s", mark: str = "f", body: bytes = b"{}") -> Reject:
    """The `number`th of them, a minute after the one before."""
    id_ = str(uuid.UUID(int=(number << 64) | 0x7000_8000_0000_0000))
    violations = '[{"loc": ["a"], "type": "missing", "msg": "Field required"}]'
    return Reject(id_, dataset, NOW + timedelta(minutes=number), source, 1, "t", body, violations, mark)


@pytest.fixture
def store(where: Where) -> AnyStore:
    return store_of(where)


def put(store: AnyStore, *rejects: Reject) -> None:
    with store.write() as transaction:
        transaction.quarantine(reject_rows(rejects))


def test_a_store_without_any(store: AnyStore) -> None:
    assert store.rejects("d", limit=5) == {"dataset": "d", "items": [], "next": None}
    assert store.rejects("d", limit=5, group=True) == {"dataset": "d", "items": [], "next": None}


def test_the_newest_come_first_page_by_page(store: AnyStore) -> None:
    put(store, *(reject(number) for number in range(5)), reject(9, dataset="other"))
    first = store.rejects("d", limit=2)
    second = store.rejects("d", limit=2, before=first["next"])
    third = store.rejects("d", limit=2, before=second["next"])
    pages = [[each["received_at"][14:16] for each in page["items"]] for page in (first, second, third)]
    assert pages == [["04", "03"], ["02", "01"], ["00"]]
    assert third["next"] is None


def test_a_reject_as_a_document(store: AnyStore) -> None:
    put(store, reject(1, body="{é}".encode()), reject(2, body=b"\xff"))
    binary, text = store.rejects("d", limit=9)["items"]
    assert text == {
        "quarantine_id": reject(1).id,
        "received_at": "2026-07-01T12:01:00.000000Z",
        "source": "s",
        "contract": 1,
        "content_type": "t",
        "body": "{é}",
        "errors": [{"loc": ["a"], "type": "missing", "msg": "Field required"}],
        "fingerprint": "f",
        "replayed_at": None,
    }
    assert binary["body_base64"] == "/w=="


def test_groups(store: AnyStore) -> None:
    put(store, reject(1, mark="x"), reject(2, mark="y", source="b"), reject(3, mark="y", source="a", body=b"[3]"))
    most, least = store.rejects("d", limit=9, group=True)["items"]
    assert (least["fingerprint"], least["count"]) == ("x", 1)
    assert most == {
        "fingerprint": "y",
        "count": 2,
        "first_seen": "2026-07-01T12:02:00.000000Z",
        "last_seen": "2026-07-01T12:03:00.000000Z",
        "sources": ["a", "b"],
        "sample": {
            "quarantine_id": reject(3).id,
            "body": "[3]",
            "errors": [{"loc": ["a"], "type": "missing", "msg": "Field required"}],
        },
    }
    assert len(store.rejects("d", limit=1, group=True)["items"]) == 1


@pytest.mark.parametrize(
    ("minute", "excess_bytes", "limit", "left", "more"),
    [
        pytest.param(None, 0, 10, [0, 1, 2, 3, 4], False, id="nothing is due"),
        pytest.param(2, 0, 10, [2, 3, 4], False, id="by age"),
        pytest.param(None, 1, 10, [1, 2, 3, 4], False, id="as many as make up the bytes"),
        pytest.param(None, 70, 10, [2, 3, 4], False, id="more bytes"),
        pytest.param(2, 10_000, 10, [], False, id="both"),
        pytest.param(4, 0, 2, [2, 3, 4], True, id="no more at once than allowed"),
    ],
)
def test_the_oldest_expire(
    store: AnyStore, minute: int | None, excess_bytes: int, limit: int, left: list[int], *, more: bool
) -> None:
    put(store, *(reject(number, dataset="de"[number % 2]) for number in (4, 3, 2, 1, 0)))
    before = None if minute is None else NOW + timedelta(minutes=minute)
    with store.write() as transaction:
        size = transaction.quarantine_bytes()
        expired = transaction.expire(before, excess_bytes, limit)
        assert transaction.quarantine_bytes() == size - expired.size_bytes
        assert transaction.quarantined() == len(left)
    gone = [number for number in range(5) if number not in left]
    counts = {"de"[parity]: sum(number % 2 == parity for number in gone) for parity in (0, 1)}
    assert expired.events == {dataset: count for dataset, count in counts.items() if count}
    assert expired.more is more


def test_groups_of_the_newest_few_alone(store: AnyStore) -> None:
    put(store, *(reject(number, mark="old") for number in range(4)))
    put(store, reject(4, mark="new"), reject(5, dataset="other"), reject(6, mark="new"))
    found = store.rejects("d", limit=9, group=True, newest=4)
    assert [(each["fingerprint"], each["count"]) for each in found["items"]] == [("new", 2), ("old", 1)]
    assert found["within"] == 4
    assert [each["sample"]["quarantine_id"] for each in found["items"]] == [reject(6).id, reject(3).id]
    every = store.rejects("d", limit=9, group=True, newest=7)
    assert [(each["fingerprint"], each["count"]) for each in every["items"]] == [("old", 4), ("new", 2)]
    assert "within" not in every
