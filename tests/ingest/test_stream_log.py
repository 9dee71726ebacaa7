"""A log that is a stream: the copy can be lost, an acknowledgement can be lost, and nothing else is."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.contract.document import Contract
from assay.errors import FateUnknown, LogFailed, LogInUse
from assay.ingest.keys import Kept, KeyReader, Slot
from assay.ingest.log import Log
from assay.ingest.log_reader import Reader
from assay.ingest.payload import LoggedRequest, pack
from assay.ingest.record import Kind, Piece, Record
from assay.ingest.stream_address import StreamAddress
from tests.conftest import until
from tests.streams import Servers, missing

pytest.importorskip("nats", reason=missing())

from assay.ingest.stream import Moved, Stream, Unsettled
from assay.ingest.stream_codec import split
from assay.ingest.stream_log import StreamLog

CONTRACT = Contract.parse({"type": "object", "properties": {"a": {"type": "integer"}}}, dataset="d", version=3)


def record(payload: bytes = b"[{}]", *, dataset: str = "d", kind: Kind = Kind.EVENTS, at: int = 1_000_000) -> Record:
    contract = None if kind == Kind.LEARNING else CONTRACT
    return Record(kind, dataset, contract, "s", "application/json", at, 1, payload)


def kept(key: str) -> Kept:
    return Kept(Slot("d", "s", key), b"digest", 2**52, False, 200, b"{}")


def piece(request: str, payload: bytes) -> Piece:
    return Piece(request, record(payload))


def ends(request: str) -> Record:
    return record(pack(LoggedRequest(request, 1, False)), kind=Kind.REQUEST)


def contents(path: Path) -> tuple[Any, ...]:
    """All that the log's readers see."""
    with contextlib.closing(Reader(path)) as reader:
        found = reader.read(0, 1 << 30)
        pieces = [
            (each.piece, each.payload)
            for last in found
            if last.kind == Kind.REQUEST
            for each in reader.pieces(last, 0, 1 << 30)
        ]
        return [(each.seq, each.kind, each.contract, each.payload) for each in found], pieces, reader.last_seq()


def payloads(path: Path) -> list[bytes]:
    return [payload for _, _, _, payload in contents(path)[0]]


def lose(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def sweep(log: Log) -> None:
    assert until(lambda: not log.is_clean, 3)  # once a second it is looked what the stream need not keep
    while not log.is_clean:
        log.sweep()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.log"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Servers]:
    """A server of this test's alone."""
    if missing():
        pytest.skip(missing())
    with Servers(tmp_path / "nats") as running:
        yield running


# ---- the copy


def test_a_lost_copy_is_made_again_with_the_same_numbers_and_the_same_identity(
    stream: StreamAddress, path: Path
) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1"), record(b"2", kind=Kind.LEARNING)], keys=[kept("k")])
        log.append([], pieces=[piece("r", b"p1"), piece("r", b"p2")])
        log.append([ends("r")])
        log.append([record(b"x" * 3_000_000)])
        before, openings = contents(path), Reader(path).openings()
        assert log.learning_bytes() == {"d": 1}
        live = log.live()
    lose(path)
    with StreamLog(path, stream) as log:
        assert contents(path) == before
        assert log.live() == live
        assert log.learning_bytes() == {"d": 1}
        assert Reader(path).openings()[:-1] == openings
        assert Reader(path).openings()[-1].base == log.last_seq() == 4
        with contextlib.closing(KeyReader(path)) as keys:
            assert keys.get(kept("k").slot, 2**52) == kept("k")
        log.append([record(b"more")])
        assert contents(path)[2] == 5


def test_a_copy_that_is_behind_is_brought_up(stream: StreamAddress, path: Path, tmp_path: Path) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1")])
    with StreamLog(tmp_path / "elsewhere.log", stream) as log:
        for number in range(2, 100):
            log.append([record(b"%d" % number)])
        log.free(50)
        sweep(log)
        after = contents(tmp_path / "elsewhere.log")
    with StreamLog(path, stream):
        assert contents(path) == after


@pytest.mark.parametrize("damage", [pytest.param(b"no database" * 500, id="another file"), pytest.param(b"\0" * 4096)])
def test_a_damaged_copy_is_put_aside_and_made_again(stream: StreamAddress, path: Path, damage: bytes) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1")])
    path.write_bytes(damage)
    with StreamLog(path, stream):
        assert payloads(path) == [b"1"]
    assert path.with_name("x.log.damaged").read_bytes()[:8] == damage[:8]


def test_a_stream_that_lost_what_the_copy_has_is_reported_and_nothing_is_skipped(
    servers: Servers, stream: StreamAddress, path: Path
) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1")])
    servers.ask(lambda js: js.delete_stream(stream.stream))
    with pytest.raises(LogFailed, match=r"not there any more.*ASSAY_LOG=.*x\.log assay flush"):
        StreamLog(path, stream)
    with StreamLog(path.with_name("new.log"), stream):  # somebody made it anew
        pass
    with pytest.raises(LogFailed, match=r"the copy has it up to.*ASSAY_LOG="):
        StreamLog(path, stream)
    with StreamLog(path.with_name("new.log"), stream) as log:
        for _ in range(9):
            log.append([record(b"other")])
    with pytest.raises(LogFailed, match=r"of another stream.*ASSAY_LOG="):
        StreamLog(path, stream)
    with Log(path) as rescued:  # as the message says
        assert payloads(path) == [b"1"]
        rescued.free(1)
    with StreamLog(path, stream):
        assert payloads(path) == [b"other"] * 9


def test_a_log_that_is_a_file_is_no_copy(stream: StreamAddress, path: Path) -> None:
    with Log(path) as log:
        log.append([record(b"1")])
    with pytest.raises(LogFailed, match="no copy of"):
        StreamLog(path, stream)
    assert payloads(path) == [b"1"]


def test_the_copy_fails_after_the_stream_has_it(stream: StreamAddress, path: Path) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1")])
        log._con.execute("CREATE TRIGGER no BEFORE INSERT ON record BEGIN SELECT RAISE(ABORT, 'no room'); END")
        with pytest.raises(FateUnknown, match="no room"):
            log.append([record(b"2")], keys=[kept("k")])
        with pytest.raises(LogFailed, match="no room") as failed:
            log.append([record(b"3")])
        assert not isinstance(failed.value, FateUnknown)
        log._con.execute("DROP TRIGGER no")
        with pytest.raises(LogFailed, match="earlier request with this key"):
            log.append([record(b"2")], keys=[kept("k")])  # it was judged when nobody knew of the key
        log.append([record(b"4")])
        assert payloads(path) == [b"1", b"2", b"4"]


# ---- the stream keeps what is needed, and no more


def test_what_the_store_has_leaves_the_stream_and_keys_do_not(
    servers: Servers, stream: StreamAddress, path: Path
) -> None:
    with StreamLog(path, stream) as log:
        for number in range(200):
            log.append([record(b"1", at=number)], keys=[kept(f"k{number}")])
        log.append([record(b"2", at=7_000_000), record(b"22", kind=Kind.LEARNING, at=3)])
        log.free(201)
        sweep(log)
        assert until(lambda: servers.messages(stream.stream) < 10)
    lose(path)
    with StreamLog(path, stream) as log:
        assert payloads(path) == [b"22"]
        assert contents(path)[2] == 202
        assert (log.freed_through, log.last_seen(), log.learning_bytes()) == (201, {"d": 7.0}, {"d": 2})
        with contextlib.closing(KeyReader(path)) as keys:
            assert all(keys.get(kept(f"k{number}").slot, 2**52) for number in range(200))
        log.free(202)
        sweep(log)
    lose(path)
    with StreamLog(path, stream) as log:
        with contextlib.closing(KeyReader(path)) as keys:
            assert all(keys.get(kept(f"k{number}").slot, 2**52) for number in range(200))
        log.append([record(b"3")])
        assert contents(path)[2] == 203


def test_old_keys_leave_the_stream(servers: Servers, stream: StreamAddress, path: Path) -> None:
    now_us = 2**52
    with StreamLog(path, stream, clock=lambda: now_us * 1000) as log:

        def kinds() -> int:
            async def count(js: Any) -> int:
                info = await js.stream_info(stream.stream, subjects_filter=f"assay.{stream.stream}.keys")
                return sum((info.state.subjects or {}).values())

            return servers.ask(count)

        for number in range(1, 4):
            log.append([record()], keys=[kept(f"k{number}")])
            log.free(number)
            sweep(log)
        assert kinds() == 3
        now_us *= 2
        log.append([record()], free_through=4)
        sweep(log)
        assert until(lambda: kinds() == 0)


def test_pieces_stay_until_their_request_is_freed(servers: Servers, stream: StreamAddress, path: Path) -> None:
    with StreamLog(path, stream) as log:
        log.append([], pieces=[piece("r", b"p1")])
        log.append([record(b"1")])
        log.free(1)
        sweep(log)
        log.append([], pieces=[piece("r", b"p2"), piece("dropped", b"p")])
        log.append([ends("r")])
        log.drop("dropped")
        before = contents(path)
        assert [payload for _, payload in before[1]] == [b"p1", b"p2"]
    lose(path)
    with StreamLog(path, stream) as log:
        assert contents(path) == before
        log.free(2)
        sweep(log)
        assert log.live() == (0, 0, None)
        log.append([], pieces=[piece("s", b"p3")])
        log.append([ends("s")])
        assert contents(path)[1] == [(4, b"p3")], "numbers of pieces are not given twice"


# ---- acknowledgements that are lost


def losing(publish: Callable[..., None], *, arrives: bool) -> Callable[..., None]:
    """A stream's `publish` whose next acknowledgement does not come back."""
    left = [1]

    def lossy(*given: Any, **named: Any) -> None:
        if not left:
            return publish(*given, **named)
        left.pop()
        if arrives:
            publish(*given, **named)
        raise Unsettled("no acknowledgement came")

    return lossy


def test_what_was_unknown_turns_out_to_be_in(
    stream: StreamAddress, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1")])
        monkeypatch.setattr(log._stream, "publish", losing(log._stream.publish, arrives=True))
        with pytest.raises(FateUnknown):
            log.append([record(b"2"), record(b"x" * 3_000_000)], keys=[kept("k")])
        assert payloads(path) == [b"1"]
        log.probe()
        assert payloads(path) == [b"1", b"2", b"x" * 3_000_000]
        log.append([record(b"3")])
        with pytest.raises(LogFailed, match="earlier request with this key"):
            log.append([record(b"2")], keys=[kept("k")])
        assert contents(path)[2] == 4


def test_what_was_unknown_and_is_not_in_never_comes(
    stream: StreamAddress, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1")])
        sent: list[Any] = []
        real = log._stream.publish

        def delayed(*given: Any, **named: Any) -> None:
            sent.append((given, named))
            raise Unsettled("no acknowledgement came")

        monkeypatch.setattr(log._stream, "publish", delayed)
        with pytest.raises(FateUnknown):
            log.append([record(b"late")])
        with pytest.raises(LogFailed, match="no acknowledgement") as failed:  # the probe's does not come either
            log.append([record(b"2")])
        assert not isinstance(failed.value, FateUnknown)
        monkeypatch.setattr(log._stream, "publish", real)
        log.append([record(b"3")])
        for given, named in sent:  # it was on its way all the time
            with pytest.raises(Moved):
                log._stream.publish(*given, **named)
        log.append([record(b"4")])
        assert payloads(path) == [b"1", b"3", b"4"]
    lose(path)
    with StreamLog(path, stream):
        assert payloads(path) == [b"1", b"3", b"4"]


def test_an_acknowledgement_lost_on_the_way_is_seen_in_the_stream(
    stream: StreamAddress, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the two minutes in which the server knows a message's id: the second try finds its place taken, by itself."""
    with StreamLog(path, stream) as log:
        real = log._stream.publish

        def again(*given: Any, **named: Any) -> None:
            real(*given, **named)
            raise Moved("wrong last sequence")

        monkeypatch.setattr(log._stream, "publish", again)
        log.append([record(b"1")], keys=[kept("k")])
        log.append([record(b"2")], keys=[kept("k")])
        assert payloads(path) == [b"1", b"2"]


def test_parts_that_a_dead_owner_left_do_not_count(stream: StreamAddress, path: Path) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1")])
        parts = split(log._mine.bytes, uuid.uuid4().bytes, b"x" * 3000, 2000)
        assert len(parts) == 2
        log._stream.publish("log", "half", parts[:1], after=log._last, patience_s=1)
    for _ in range(2):
        with StreamLog(path, stream) as log:
            log.append([record(b"2")])
        lose(path)
    with StreamLog(path, stream):
        assert payloads(path) == [b"1", b"2", b"2"]


def test_a_server_that_is_gone_is_said_at_once_and_one_that_hangs_is_unknown(own: Servers, path: Path) -> None:
    address = StreamAddress.parse(own.url("s"), root=path.parent)
    with StreamLog(path, address, patience_s=0.5) as log:
        log.append([record(b"1")])
        own.kill()
        with pytest.raises(LogFailed) as failed:
            log.append([record(b"2")])
        if isinstance(failed.value, FateUnknown):  # it was sent before the end of the connection was seen
            with pytest.raises(LogFailed):
                log.append([record(b"2")])
        own.start()
        assert until(lambda: _takes(log), 20)
        own.all[0].pause()
        with pytest.raises(FateUnknown):
            log.append([record(b"3")])
        with pytest.raises(LogFailed) as failed:
            log.append([record(b"4")])
        assert not isinstance(failed.value, FateUnknown)
        own.all[0].resume()
        assert until(lambda: _takes(log), 20)
        log.append([record(b"5")])
        found = payloads(path)
        assert found.count(b"1") == found.count(b"5") == 1
        assert found.count(b"3") <= 1
        assert b"4" not in found
    lose(path)
    with StreamLog(path, address):
        assert payloads(path) == found


def _takes(log: Log) -> bool:
    try:
        log.probe()
    except LogFailed:
        return False
    return True


# ---- one owner


def test_one_collector_at_a_time_has_a_stream(stream: StreamAddress, path: Path) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1")])
        with pytest.raises(LogInUse, match="another collector has it"):
            StreamLog(path.with_name("y.log"), stream)
        log.append([record(b"2")])
    with StreamLog(path.with_name("y.log"), stream):
        assert payloads(path.with_name("y.log")) == [b"1", b"2"]


def test_who_was_thought_dead_cannot_write_any_more(
    stream: StreamAddress, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = path.with_name("y.log")
    with StreamLog(path, stream) as first:
        first.append([record(b"1")])
        with monkeypatch.context() as patched:
            patched.setattr(Stream, "has_owner", lambda _: False)  # the first one does not answer
            second = StreamLog(other, stream)
        with second:
            second.append([record(b"2")])
            for _ in range(2):
                with pytest.raises(LogInUse, match="taken it over"):
                    first.append([record(b"3")])
                with pytest.raises(LogFailed):
                    first.probe()
            second.append([record(b"4")])
            assert payloads(other) == [b"1", b"2", b"4"]
        assert payloads(path) == [b"1"]


def test_what_others_publish_there_is_named(servers: Servers, stream: StreamAddress, path: Path) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1")])
        servers.ask(lambda js: js.publish(f"assay.{stream.stream}.log", b"hello"))
        with pytest.raises(LogFailed):
            log.append([record(b"2")])
        with pytest.raises(LogFailed, match=r"message 4 is none of assay's"):
            log.append([record(b"2")])
        assert payloads(path) == [b"1"]


# ---- a stream that is not as it has to be


def test_a_stream_that_would_drop_something_is_refused(servers: Servers, stream: StreamAddress, path: Path) -> None:
    servers.ask(lambda js: js.add_stream(name=stream.stream, subjects=[f"assay.{stream.stream}.>"], max_age=60))
    with pytest.raises(LogFailed, match="no log of assay's"):
        StreamLog(path, stream)


def test_copies_that_cannot_be_had_are_named(servers: Servers, path: Path) -> None:
    address = StreamAddress.parse(servers.url("three").replace("replicas=1", "replicas=3"), root=path.parent)
    with pytest.raises(LogFailed, match=r"cannot be made with 3 copies.*\?replicas=1"):
        StreamLog(path, address)
    one = StreamAddress.parse(servers.url("one"), root=path.parent)
    with StreamLog(path, one):
        pass
    three = StreamAddress.parse(servers.url("one").replace("replicas=1", "replicas=3"), root=path.parent)
    with pytest.raises(LogFailed, match=r"has 1 copies, and 3 are asked for"):
        StreamLog(path, three)


def test_a_full_stream_refuses_and_takes_again_when_there_is_room(
    servers: Servers, stream: StreamAddress, path: Path
) -> None:
    with StreamLog(path, stream) as log:
        log.append([record(b"1")])

        async def bound(js: Any, max_bytes: int) -> None:
            config = (await js.stream_info(stream.stream)).config
            config.max_bytes = max_bytes
            await js.update_stream(config)

        servers.ask(lambda js: bound(js, 10_000))
        with pytest.raises(LogFailed, match="maximum bytes exceeded") as failed:
            log.append([record(b"x" * 20_000)])
        assert not isinstance(failed.value, FateUnknown)
        servers.ask(lambda js: bound(js, -1))
        log.append([record(b"2")])
        assert payloads(path) == [b"1", b"2"]


# ---- the same as a file


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 3), st.booleans(), st.integers(0, 1)),
        st.tuples(st.just("pieces"), st.sampled_from("ab"), st.integers(1, 3)),
        st.tuples(st.just("end"), st.sampled_from("ab")),
        st.tuples(st.just("free"), st.integers(0, 3)),
        st.tuples(st.just("sweep")),
        st.tuples(st.just("open again")),
        st.tuples(st.just("lose the copy")),
    ),
    max_size=14,
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS)
def test_it_holds_what_a_file_would(servers: Servers, tmp_path: Path, operations: list[tuple[Any, ...]]) -> None:
    """Whatever is done to both. The one's copy is lost now and then; the other's file is only opened again."""
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    address = StreamAddress.parse(servers.url(f"h{uuid.uuid4().hex}"), root=folder)
    plain, ours = folder / "plain.log", folder / "ours.log"
    with contextlib.ExitStack() as stack:
        logs: list[Log] = [stack.enter_context(Log(plain)), stack.enter_context(StreamLog(ours, address))]
        begun: set[str] = set()  # requests whose parts have come: no other can end
        for number, (what, *how) in enumerate(operations):
            if what == "end" and how[0] not in begun:
                continue
            if what == "pieces":
                begun.add(how[0])
            keys = [kept(f"{number}")] if what == "append" and how[2] else []
            for log in logs:
                match what:
                    case "append":
                        kind = Kind.LEARNING if how[1] else Kind.EVENTS
                        log.append([record(b"%d" % number, kind=kind)] * how[0], keys=keys)
                    case "pieces":
                        log.append([], pieces=[piece(how[0], b"%d" % number)] * how[1])
                    case "end":
                        log.append([ends(how[0])])
                    case "free":
                        log.free(min(log.freed_through + how[0], log.last_seq()))
                    case "sweep" | "lose the copy":  # what was freed, and the stream not told of, would come back
                        if isinstance(log, StreamLog):
                            log._purge_at = 0.0
                        while not log.is_clean:
                            log.sweep()
            if what in {"open again", "lose the copy"}:
                begun.clear()  # whoever sent them is gone
                stack.close()
                if what == "lose the copy":
                    lose(ours)
                logs = [stack.enter_context(Log(plain)), stack.enter_context(StreamLog(ours, address))]
        assert _all_but_pieces(ours) == _all_but_pieces(plain)
        assert logs[0].learning_bytes() == logs[1].learning_bytes()
        assert logs[0].last_seen() == logs[1].last_seen()
        assert [each for _, each in contents(ours)[1]] == [each for _, each in contents(plain)[1]]


def _all_but_pieces(path: Path) -> tuple[Any, ...]:
    found, _, last = contents(path)
    con = sqlite3.connect(path)
    try:
        keys = con.execute("SELECT key FROM idempotency ORDER BY key").fetchall()
    finally:
        con.close()
    return found, last, keys
