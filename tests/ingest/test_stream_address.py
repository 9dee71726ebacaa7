"""A stream as a person writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.ingest.stream_address import StreamAddress, is_stream

ROOT = Path("/w")


def test_servers_name_and_copies() -> None:
    found = StreamAddress.parse("nats://a.example:4222,b,[::1]:4223/orders?replicas=1", root=ROOT)
    assert found.servers == ("nats://a.example:4222", "nats://b", "nats://[::1]:4223")
    assert (found.stream, found.replicas, found.user, found.password) == ("orders", 1, "", "")
    assert StreamAddress.parse("tls://a/orders", root=ROOT).replicas == 3
    assert str(found) == "nats://a.example:4222,b,[::1]:4223/orders"


def test_secrets_are_taken_and_never_shown() -> None:
    found = StreamAddress.parse("tls://ann:s%40cret@a:4222,b/orders", root=ROOT)
    assert (found.user, found.password) == ("ann", "s@cret")
    assert "cret" not in repr(found) + str(found)
    assert "ann" not in str(found)
    token = StreamAddress.parse("nats://t0ken@a/orders?creds=x.creds", root=ROOT)
    assert (token.user, token.password, token.credentials) == ("t0ken", "", ROOT / "x.creds")
    assert "t0ken" not in repr(token) + str(token)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("nats://ann:secret@a:4222", "the stream's name"),
        ("nats://ann:secret@a/or.ders", "the stream's name"),
        ("nats://ann:secret@/orders", "is no host:port"),
        ("nats://ann:secret@a:99999/orders", "is no host:port"),
        ("nats://ann:secret@a,,b/orders", "is no host:port"),
        ("nats://ann:secret@a/orders?replicas=2", "replicas is 1, 3 or 5"),
        ("nats://ann:secret@a/orders?replica=3", "'replica' is no option"),
    ],
)
def test_what_is_none_is_refused_without_the_secret(written: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        StreamAddress.parse(written, root=ROOT)
    assert "secret" not in str(refused.value)


def test_a_stream_is_told_from_a_file() -> None:
    assert is_stream("nats://a/b")
    assert is_stream("tls://a/b")
    assert not is_stream("x.log")
    assert not is_stream(Path("nats://a/b"))
