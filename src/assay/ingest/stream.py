"""A stream of NATS JetStream's, asked from any thread: an asyncio loop in a thread of its own talks to the servers.

Whoever publishes says what the stream's last sequence number has to be (`Nats-Expected-Last-Sequence`). So what is lost on
the way is never stored behind something else, and of two who write only one can.
https://docs.nats.io/nats-concepts/jetstream/headers
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from assay.errors import UsageError

if TYPE_CHECKING:
    from assay.ingest.stream_address import StreamAddress

__all__ = ["Message", "Moved", "Stream", "StreamFailed", "Unsettled"]

_T = TypeVar("_T")

#: How long one try waits for the acknowledgement; it is sent again with the same id, which the server knows for `_KNOWN_S`.
_TRY_S: Final = 2.0
_KNOWN_S: Final = 120.0
_PAUSE_S: Final = 0.1
#: What a group of servers may take to agree on a new leader.
_ELECTION_S: Final = 15.0
#: Of one large batch so many messages are on their way at once.
_AT_ONCE: Final = 8
#: So many messages are asked for at once; they may be of a megabyte each.
_FETCHED: Final = 16
_HEADROOM_BYTES: Final = 4096
#: JetStream's error codes. https://github.com/nats-io/nats-server/blob/main/server/errors.json
_WRONG_LAST_SEQUENCE: Final = 10071
_NOT_NOW: Final = frozenset({10008, 10009})  # temporarily unavailable, no leader


class StreamFailed(Exception):
    """The stream refuses, or is out of reach: nothing of what was to be published is there, nor will be."""


class Unsettled(StreamFailed):
    """No acknowledgement came in time: what was published may be in the stream, or come into it yet."""


class Moved(StreamFailed):
    """The stream's last message is another one than was expected."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the stream's: its sequence number, what kind it is, and what it holds."""

    seq: int
    kind: str
    body: bytes


class Stream:
    """A connection to the stream, kept up by itself. Its methods may be called from any thread, and wait.

    Raises:
        UsageError: the client library is not installed, or the credentials cannot be used.
        StreamFailed: no server answers.
    """

    def __init__(self, address: StreamAddress) -> None:
        try:
            import nats.js.api
            import nats.js.errors
        except ModuleNotFoundError as error:
            raise UsageError(
                f"log = {address} needs the package nats-py, which is not installed; pip install 'assay[nats]' brings it"
            ) from error
        self.address = address
        self._name = address.stream
        self._subject = f"assay.{address.stream}"
        self._nats = nats
        self._trouble = "no server answers; is a nats-server there?"
        self._is_owner = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="assay-stream", daemon=True)
        self._thread.start()
        try:
            self._con = self._run(self._connected())
        except BaseException:
            self._end()
            raise
        self._js = self._con.jetstream(timeout=_TRY_S)

    def close(self) -> None:
        """Let go of the connection."""
        with contextlib.suppress(Exception):
            self._run(asyncio.wait_for(self._con.close(), _TRY_S))
        self._end()

    @property
    def max_bytes(self) -> int:
        """What a message may hold, beside its headers."""
        return int(self._con.max_payload) - _HEADROOM_BYTES

    def exists(self) -> bool:
        """Whether there is such a stream.

        Raises:
            StreamFailed: the servers do not say.
        """
        return self._run(self._info()) is not None

    def about(self) -> str:
        """What there is to say of the stream, for people.

        Raises:
            StreamFailed: the servers do not say, or it is no log of assay's.
        """
        return self._run(self._about())

    def open(self) -> int:
        """Make the stream where there is none; its last sequence number, 0 where it is new.

        Raises:
            StreamFailed: it cannot be had as it has to be: kept in files, in so many copies, and nothing dropped by itself.
        """
        return self._run(self._opened())

    def last_seq(self) -> int:
        """The sequence number of the last message.

        Raises:
            StreamFailed: nobody says.
        """
        return self._run(self._last_seq())

    def has_owner(self) -> bool:
        """Whether another process says that the log is its own; else it is ours, and we say so from now on."""
        return self._run(self._claim())

    def publish(self, kind: str, batch: str, bodies: Sequence[bytes], *, after: int, patience_s: float) -> None:
        """Put messages into the stream, in order, behind the message `after` and each other. Waits until they are replicated.

        `batch` names them: sent again, they are taken once.

        Raises:
            StreamFailed: not all of them are in, nor will be.
            Unsettled: nobody can say.
            Moved: the stream's last message was not `after`.
        """
        self._run(self._publish(kind, batch, bodies, after, patience_s))

    def first(self, kind: str) -> Message | None:
        """The first message of a kind.

        Raises:
            StreamFailed: it cannot be read.
        """
        return self._run(self._one(kind, is_last=False))

    def last(self, kind: str) -> Message | None:
        """The last message of a kind.

        Raises:
            StreamFailed: it cannot be read.
        """
        return self._run(self._one(kind, is_last=True))

    def read(self, after: int, through: int) -> Iterator[Message]:
        """The messages that there are beyond `after`, up to `through`, which has to be there.

        Raises:
            StreamFailed: they cannot be read.
        """
        deadline = time.monotonic() + _ELECTION_S
        while after < through:
            try:
                found = self._run(self._next(after, min(after + _FETCHED, through)))
            except StreamFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
                continue
            for message in found:
                if message.seq <= through:
                    yield message
            after = found[-1].seq
            deadline = time.monotonic() + _ELECTION_S

    def purge(self, kind: str, before: int) -> None:
        """Have messages of a kind taken out that stand before `before`. Returns at once; it may fail, and be asked again."""
        self._loop.call_soon_threadsafe(self._begin, self._purge(kind, before))

    # ---- in the loop's thread

    def _live(self) -> None:
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left))
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _connected(self) -> Any:
        async def note(error: Exception) -> None:
            self._trouble = _reason(error).strip("'")
            if isinstance(error, OSError):
                self._trouble += "; is a nats-server there?"

        address = self.address
        options: dict[str, Any] = {}
        if address.password:
            options = {"user": address.user, "password": address.password}
        elif address.user:
            options = {"token": address.user}
        if address.credentials is not None:
            options["user_credentials"] = str(address.credentials)
        try:
            return await asyncio.wait_for(
                self._nats.connect(
                    list(address.servers),
                    name="assay",
                    error_cb=note,
                    connect_timeout=2,
                    reconnect_time_wait=0.25,
                    max_reconnect_attempts=-1,
                    ping_interval=5,
                    max_outstanding_pings=2,
                    pending_size=0,  # nothing is kept for later while there is no connection
                    **options,
                ),
                _ELECTION_S,
            )
        except TimeoutError as error:
            raise StreamFailed(self._trouble) from error
        except (OSError, self._nats.errors.Error, ValueError) as error:
            raise StreamFailed(_reason(error)) from error
        except ModuleNotFoundError as error:
            raise UsageError(f"creds = {address.credentials} needs the package {error.name}: pip install it") from error

    async def _ask(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Have JetStream answer; its errors in our words.

        Raises:
            StreamFailed: it did not.
        """
        try:
            return await work
        except (self._nats.errors.Error, OSError, TimeoutError) as error:
            raise StreamFailed(self._said(error)) from error

    def _said(self, error: BaseException) -> str:
        if not self._con.is_connected:
            return "no server can be reached"
        return _reason(error)

    async def _info(self) -> Any:
        deadline = time.monotonic() + _ELECTION_S
        while True:
            try:
                return await self._js.stream_info(self._name)
            except self._nats.js.errors.NotFoundError:
                return None
            except (self._nats.errors.Error, OSError, TimeoutError) as error:
                if isinstance(error, self._nats.errors.NoRespondersError) or time.monotonic() > deadline:
                    raise StreamFailed(
                        f"{self._said(error)}; JetStream has to be enabled on the servers (nats-server -js)"
                    ) from error
            await asyncio.sleep(_PAUSE_S)

    async def _last_seq(self) -> int:
        info = await self._ask(self._js.stream_info(self._name))
        return int(info.state.last_seq)

    async def _about(self) -> str:
        info = await self._info()
        if info is None:
            return "is not there yet: the service makes it"
        self._check(info)
        copies = f"{info.config.num_replicas or 1} copies"
        if info.cluster is not None and info.cluster.replicas:
            behind = [each.name for each in info.cluster.replicas if each.offline or not each.current]
            copies += f", led by {info.cluster.leader}"
            copies += f"; behind or gone: {', '.join(behind)}" if behind else ""
        return f"has {info.state.messages:,} messages, {info.state.bytes:,} bytes, in {copies}"

    async def _opened(self) -> int:
        api, address = self._nats.js.api, self.address
        info = await self._info()
        if info is None:
            wanted = api.StreamConfig(
                name=self._name,
                description="The ingest log of an assay collector",
                subjects=[f"{self._subject}.>"],
                retention=api.RetentionPolicy.LIMITS,
                storage=api.StorageType.FILE,
                discard=api.DiscardPolicy.NEW,
                num_replicas=address.replicas,
                duplicate_window=_KNOWN_S,
            )
            try:
                info = await self._js.add_stream(wanted)
            except (self._nats.errors.Error, OSError, TimeoutError) as error:
                how = (
                    "" if address.replicas == 1 else "; with fewer servers, write ?replicas=1 behind the stream's name"
                )
                raise StreamFailed(
                    f"cannot be made with {address.replicas} copies: {self._said(error)}{how}"
                ) from error
        self._check(info)
        return int(info.state.last_seq)

    def _check(self, info: Any) -> None:
        """Whether the stream is as it has to be."""
        api, address, has = self._nats.js.api, self.address, info.config
        loses = has.max_age or has.discard != api.DiscardPolicy.NEW or has.retention != api.RetentionPolicy.LIMITS
        if (has.subjects or []) != [f"{self._subject}.>"] or has.storage != api.StorageType.FILE or loses:
            raise StreamFailed(
                f"is there, and no log of assay's: it would have the subjects {self._subject}.>, storage file, "
                "retention limits, discard new and no max age; name another stream"
            )
        if (has.num_replicas or 1) < address.replicas:
            raise StreamFailed(
                f"has {has.num_replicas or 1} copies, and {address.replicas} are asked for: "
                f"nats stream edit {self._name} --replicas {address.replicas}, or write ?replicas={has.num_replicas or 1}"
            )

    async def _claim(self) -> bool:
        if self._is_owner:
            return False
        subject = f"assay-owner.{self._name}"
        try:
            await self._con.request(subject, timeout=1.0)
            return True
        except (self._nats.errors.NoRespondersError, self._nats.errors.TimeoutError):
            pass
        except (self._nats.errors.Error, OSError) as error:
            raise StreamFailed(self._said(error)) from error

        async def answer(asked: Any) -> None:
            with contextlib.suppress(self._nats.errors.Error):
                await asked.respond(b"mine")

        await self._ask(self._con.subscribe(subject, cb=answer))
        await self._ask(self._con.flush(timeout=2))
        self._is_owner = True
        return False

    async def _publish(self, kind: str, batch: str, bodies: Sequence[bytes], after: int, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        for start in range(0, len(bodies), _AT_ONCE):
            puts = [
                _Put(self._nats, partial(self._put, kind, f"{batch}.{place}", body, after + place), after + place + 1)
                for place, body in enumerate(bodies[start : start + _AT_ONCE], start)
            ]
            # All are on their way at once; where one of them stumbles, those behind it do too, and are sent again in order.
            await asyncio.gather(*(put.once() for put in puts))
            try:
                for put in puts:
                    await put.settle(deadline)
            except Unsettled:
                raise
            except StreamFailed as failed:
                if any(put.is_unsettled for put in puts):
                    raise Unsettled(str(failed)) from failed
                raise

    async def _put(self, kind: str, id_: str, body: bytes, after: int) -> int:
        headers = {"Nats-Msg-Id": id_, "Nats-Expected-Last-Sequence": str(after), "Nats-Expected-Stream": self._name}
        ack = await self._js.publish(f"{self._subject}.{kind}", body, timeout=_TRY_S, headers=headers)
        return int(ack.seq)

    async def _one(self, kind: str, *, is_last: bool) -> Message | None:
        which = {} if is_last else {"seq": 1, "next": True}
        try:
            found = await self._js.get_msg(self._name, subject=f"{self._subject}.{kind}", **which)
        except self._nats.js.errors.NotFoundError:
            return None
        except (self._nats.errors.Error, OSError, TimeoutError) as error:
            raise StreamFailed(self._said(error)) from error
        return Message(int(found.seq), kind, found.data or b"")

    async def _next(self, after: int, to: int) -> list[Message]:
        """The messages that there are from behind `after` up to `to`, and the next one where `to` is gone.

        Each number is asked for with "it, or the next one": so a server that lacks the latest, as it does not know yet that
        it leads no more, has no answer, and cannot pass for one from which they were purged.
        """
        found = await asyncio.gather(*(self._from(seq) for seq in range(after + 1, to + 1)))
        return [message for _, message in sorted({message.seq: message for message in found}.items())]

    async def _from(self, seq: int) -> Message:
        found = await self._ask(self._js.get_msg(self._name, seq=seq, subject=">", next=True))
        return Message(int(found.seq), self._kind(found.subject), found.data or b"")

    async def _purge(self, kind: str, before: int) -> None:
        with contextlib.suppress(self._nats.errors.Error, OSError, TimeoutError):
            await self._js.purge_stream(self._name, seq=before, subject=f"{self._subject}.{kind}")

    def _kind(self, subject: str) -> str:
        return subject.removeprefix(f"{self._subject}.")


class _Put:
    """One message on its way into the stream, sent until it is known what became of it."""

    def __init__(self, nats: Any, send: Callable[[], Coroutine[Any, Any, int]], place: int) -> None:
        """`send` has the sequence number that it got; `place` is the one that it should get."""
        self._nats = nats
        self._send = send
        self._place = place
        self._is_in = False
        self._error: Exception | None = None
        #: It was sent, and nothing came back.
        self.is_unsettled = False

    async def once(self) -> None:
        """Send it."""
        errors = self._nats.errors
        try:
            place = await self._send()
        except (errors.Error, OSError, TimeoutError, ValueError) as error:
            self._error = error
            # An answer came, that it was not taken; or it was not sent, for want of a connection, or of room.
            not_sent = (errors.OutboundBufferLimitError, errors.ConnectionClosedError, errors.MaxPayloadError)
            self.is_unsettled |= not isinstance(error, (self._nats.js.errors.Error, *not_sent))
            return
        self._is_in = place == self._place
        self.is_unsettled = not self._is_in
        if not self._is_in:
            self._error = errors.Error(f"it is in the stream as {place}, and not as {self._place}")

    async def settle(self, deadline: float) -> None:
        """Send it again until it is in.

        Raises:
            StreamFailed: it is not, nor will be. Moved: something stands in its place, which may be itself.
            Unsettled: nobody says.
        """
        is_again = False
        while not self._is_in:
            error = self._error
            assert error is not None
            if isinstance(error, self._nats.js.errors.APIError) and error.err_code not in _NOT_NOW:
                if error.err_code != _WRONG_LAST_SEQUENCE:
                    self._fail(error)
                if is_again:  # at first the message before it may not have been there
                    raise Moved(_reason(error))
            elif time.monotonic() > deadline:
                self._fail(error)
            else:
                await asyncio.sleep(_PAUSE_S)
            is_again = True
            await self.once()

    def _fail(self, error: Exception) -> NoReturn:
        raise (Unsettled if self.is_unsettled else StreamFailed)(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """What the client library says, without its name before it."""
    if hasattr(error, "description"):  # JetStream's
        return str(error.description or "JetStream does not answer")
    return str(error).removeprefix("nats: ") or type(error).__name__
