"""`POST /collect` and `POST /validate`: plain ASGI, as a typed route costs as much as all our own work on an event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from assay.access.keys import IN_SCOPE, Key
from assay.errors import AssayError, BadBody, FateUnknown, TooLarge, UnknownDataset, UnsupportedType, UsageError
from assay.ingest.cloudevents import (
    BATCH,
    STRUCTURED,
    Opened,
    is_json_type,
    open_batch,
    open_binary,
    open_structured,
)
from assay.ingest.inflate import Inflater, inflater, media_type
from assay.ingest.intake import Form
from assay.ingest.keys import Slot
from assay.ingest.outcome import Outcome
from assay.service.answers import answer
from assay.service.collector import Asked, Collector
from assay.service.large import LargeRequest
from assay.service.once import check_key, collect_once
from assay.service.pending import Held
from assay.service.problems import problem_of

__all__ = ["HANG_UP", "Collect"]

_FORMS: Final[dict[str, Form]] = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/vnd.apache.arrow.stream": "arrow",
}
#: What takes a body of CloudEvents apart.
_ENVELOPES: Final = {STRUCTURED: open_structured, BATCH: open_batch}
_TAKEN: Final = (*_FORMS, *_ENVELOPES)
#: Headers that make a request another one. Any of those that a CloudEvent must have in binary mode says that it is one.
_BINARY: Final = frozenset({b"ce-id", b"ce-source", b"ce-specversion", b"ce-type"})
_UNUSUAL: Final = _BINARY | {b"idempotency-key"}
#: Lines beyond this are judged and logged in pieces, as they arrive; up to it, in one transaction.
_WHOLE_BYTES: Final = 4 << 20
_PIECE_BYTES: Final = 1 << 20
#: The ASGI extension by which a server lets an application close the connection without an answer.
HANG_UP: Final = "assay.hang_up"
#: The ASGI extension by which a server takes an answer as it goes over the wire, but for the first line and the date.
AT_ONCE: Final = "assay.at_once"
_LONGEST_SOURCE: Final = 200

_YES: Final = b'{"ok":true,"accepted":1}'
_ACCEPTED: Final = Response(_YES, media_type="application/json")
_ACCEPTED_AT_ONCE: Final = b"content-length: %d\r\ncontent-type: application/json\r\n\r\n%b" % (len(_YES), _YES)


Headers: TypeAlias = list[tuple[bytes, bytes]]


class _Gone(Exception):
    """The client went away before its body was whole."""


class Collect:
    """The endpoint. `store` is False for `/validate`: the same verdict, nothing kept."""

    def __init__(self, collector: Collector, default_dataset: Callable[[], str | None], *, store: bool = True) -> None:
        self._collector = collector
        self._default_dataset = default_dataset
        self._store = store
        self._last_client: tuple[str, int] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.perf_counter()
        try:
            response = await self._answer(scope, receive)
        except FateUnknown as error:
            await _hang_up(scope, receive, error)
            return
        except AssayError as error:
            response = problem_of(error)
            if self._store:
                self._collector.metrics.count_refused(response.status_code)
        except _Gone:
            return
        at_once = scope.get("extensions", {}).get(AT_ONCE) if response is _ACCEPTED else None
        if at_once is None or not at_once["send"](scope, _ACCEPTED_AT_ONCE):
            await response(scope, receive, send)
        if self._store:
            self._collector.metrics.request_seconds.observe(time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        collector = self._collector
        content_type = source = encoding = ""
        length, unusual = 0, False
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value.decode("latin-1")
            elif name == b"content-length":
                length = int(value) if value.isdigit() else 0
            elif name == b"content-encoding":
                encoding = value.decode("latin-1")
            elif name == b"x-assay-source":
                source = value.decode("utf-8", "replace").strip()[:_LONGEST_SOURCE]
            elif name in _UNUSUAL:
                unusual = True
        key: Key | None = scope.get(IN_SCOPE)
        if key is not None:
            source = key.name
        dataset = scope["path_params"].get("dataset") or self._default_dataset()
        if dataset is None:
            raise UnknownDataset("", "there is more than one, or none: POST /collect/{dataset}, or set default_dataset")
        form = None if unusual else _FORMS.get(content_type)
        how = None
        if form is None:
            how = _how(scope["headers"], content_type, store=self._store)
            if how.open is None and how.key is None:  # plain JSON after all, its type written in another way
                form, how = how.form, None
        unpack = inflater(encoding) if encoding else None
        atomic = _atomic(scope["query_string"]) if scope["query_string"] else False
        held = Held(collector.pending)
        try:
            reading = _Body(receive, length, collector.limits.max_body_bytes, held, unpack)
            # A request with a key is judged as a whole: `form` is None there.
            try:
                body = await reading.read(_WHOLE_BYTES if form == "ndjson" else None)
            except BadBody as error:
                return await self._unopened(
                    how,
                    dataset,
                    await reading.as_sent(),
                    error,
                    source=source or "unknown",
                    kind=media_type(encoding),
                    atomic=atomic,
                )
            if not reading.is_whole:
                large = collector.begin(
                    dataset, source=source or "unknown", content_type=content_type, atomic=atomic, keep=self._store
                )
                return answer(await _in_pieces(large, body, reading, held), kept=self._store)
            if how is not None:
                return await self._collect(how, dataset, body, source or "unknown", content_type, atomic=atomic)
            assert form is not None
            if not self._store:
                asked = Asked(dataset, body, form, atomic=atomic)
                return answer(await collector.validate(asked), kept=False)
            if form == "json":
                # The way of nearly every event: accepted at once, with others in one transaction, the answer ready.
                judge = collector.enforced.judges.get(dataset)
                event = judge.fast.event(body) if judge is not None and judge.fast is not None else None
                if judge is not None and event is not None:
                    # Twice in a row the same connection, which waited for its answer: no other sends meanwhile.
                    client = scope.get("client")
                    is_alone, self._last_client = client is not None and client == self._last_client, client
                    await collector.accept(judge, source or "unknown", body, event, is_alone=is_alone)
                    return _ACCEPTED
            asked = Asked(dataset, body, form, source or "unknown", content_type, atomic)
            return answer(await collector.collect(asked))
        finally:
            held.release()

    async def _unopened(
        self, how: _How | None, dataset: str, packed: bytes, error: BadBody, *, source: str, kind: str, atomic: bool
    ) -> Response:
        """A body that cannot be unpacked, kept as it was sent."""

        def fail(_: bytes) -> Opened:
            raise error

        key, parts = (None, ()) if how is None else (how.key, how.parts)
        # The same bytes may come again, and say then that they are not packed.
        unopened = _How("json", fail, key, (*parts, kind.encode()))
        return await self._collect(unopened, dataset, packed, source, kind, atomic=atomic)

    async def _collect(
        self, how: _How, dataset: str, body: bytes, source: str, content_type: str, *, atomic: bool
    ) -> Response:
        """CloudEvents, and requests with a key."""
        open_ = None if how.open is None else partial(how.open, body)
        asked = Asked(dataset, body, how.form, source, content_type, atomic, open_)
        collector = self._collector
        if not self._store:
            return answer(await collector.validate(asked), kept=False)
        if how.key is None:
            return answer(await collector.collect(asked))
        slot = Slot(dataset, source, how.key)
        return await collect_once(collector, slot, (*how.parts, body), partial(collector.collect, asked))


@dataclass(frozen=True, slots=True)
class _How:
    """How a body is to be taken, in the unusual case. `parts` are what else makes a request the same as another."""

    form: Form
    open: Callable[[bytes], Opened] | None
    key: str | None
    parts: tuple[bytes, ...]


async def _hang_up(scope: Scope, receive: Receive, error: FateUnknown) -> None:
    """Close the connection without an answer: neither yes nor no would be true.

    ASGI has no word for it. `Protocol` offers it as an extension; under another server the error is raised, and that
    breaks the connection or becomes a 500.
    """
    extension = scope.get("extensions", {}).get(HANG_UP)
    if extension is None:
        raise error
    extension["close"]()
    while (await receive())["type"] != "http.disconnect":
        pass


def _how(headers: Headers, content_type: str, *, store: bool) -> _How:
    names = {name for name, _ in headers}
    key = None
    if store and b"idempotency-key" in names:
        key = dict(headers)[b"idempotency-key"].decode("latin-1").strip()
        check_key(key)
    kind = content_type.partition(";")[0].strip().lower()
    open_ = _ENVELOPES.get(kind)
    if open_ is not None:
        _check_charset(content_type)
        return _How("json", open_, key, (kind.encode(),))
    if names & _BINARY:
        if not is_json_type(kind):
            raise UnsupportedType(f'a CloudEvent in binary mode carries a JSON object, and no "{content_type}"')
        _check_charset(content_type)
        attributes = sorted((name, value) for name, value in headers if name.startswith(b"ce-"))
        parts = (b"binary", *(part for pair in attributes for part in pair))
        return _How("json", partial(open_binary, headers, content_type), key, parts)
    form = _form(content_type)
    return _How(form, None, key, (form.encode(),))


def _form(content_type: str) -> Form:
    form = _FORMS.get(content_type.partition(";")[0].strip().lower())
    if form is None:
        raise _not_taken(content_type)
    _check_charset(content_type)
    return form


def _not_taken(content_type: str) -> UnsupportedType:
    given = f'Content-Type "{content_type}" is not taken' if content_type else "a Content-Type is missing"
    return UnsupportedType(f"{given}; send {', '.join(_TAKEN[:-1])} or {_TAKEN[-1]}")


def _check_charset(content_type: str) -> None:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "charset" and value.strip('"').lower() not in {"utf-8", "utf8", "us-ascii"}:
            raise UnsupportedType(f"charset {value} is not taken: JSON is UTF-8")


def _atomic(query: bytes) -> bool:
    value = parse_qs(query.decode("latin-1")).get("atomic", ["false"])[-1]
    if value not in {"true", "false", "1", "0"}:
        raise UsageError(f"atomic={value}: true or false is expected")
    return value in {"true", "1"}


class _Body:
    """A request's body, unpacked as it is read, never more than `limit` bytes of it; `held` is told of each piece.

    What is packed is kept as it was sent, too, until it is known that it can be unpacked.
    """

    __slots__ = ("_held", "_left", "_limit", "_more", "_packed", "_receive", "_sent", "_size", "_unpack", "is_whole")

    def __init__(self, receive: Receive, length: int, limit: int, held: Held, unpack: Inflater | None) -> None:
        if length > limit:
            raise TooLarge(limit)
        self._receive = receive
        self._limit = limit
        self._held = held
        self._unpack = unpack
        self._size = 0
        self._left: Iterator[bytes] = iter(())  # of what was received, what is not yet unpacked
        self._more = True
        self._packed: list[bytes] | None = None if unpack is None else []
        self._sent = 0  # of those
        #: Everything was read.
        self.is_whole = False

    async def read(self, enough: int | None = None) -> bytes:
        """The rest of the body; or the next part of it, with `enough` bytes and not many more.

        Raises:
            TooLarge, Overloaded, BadBody: it is more than there is room for, or cannot be unpacked.
        """
        chunks: list[bytes] = []
        size = 0
        while True:
            for piece in self._left:
                size += len(piece)
                self._size += len(piece)
                if self._size > self._limit:
                    raise TooLarge(self._limit)
                self._held.take(len(piece))
                chunks.append(piece)
                if enough is not None and size > enough:
                    self._packed = None
                    return b"".join(chunks)
            if not self._more:
                if self._unpack is not None:
                    self._unpack.end()
                self.is_whole = True
                self._packed = None
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunk = await self._next()
            self._left = iter((chunk,)) if self._unpack is None else self._unpack.feed(chunk)

    async def as_sent(self) -> bytes:
        """All of a packed body, as it was sent.

        Raises:
            TooLarge, Overloaded: it is more than there is room for.
        """
        while self._more and self._packed is not None:
            await self._next()
        if self._packed is None:
            raise TooLarge(self._limit)
        return b"".join(self._packed)

    async def _next(self) -> bytes:
        """The next of what is sent."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunk: bytes = message.get("body", b"")
        self._more = message.get("more_body", False)
        if self._packed is not None:
            self._sent += len(chunk)
            if self._sent > self._limit:  # what it unpacks to may be less
                self._packed = None
            else:
                self._held.take(len(chunk))
                self._packed.append(chunk)
        return chunk


async def _in_pieces(large: LargeRequest, lines: bytes, reading: _Body, held: Held) -> Outcome:
    """Take a body of lines whose beginning was read already, never more than a piece of it at a time."""
    try:
        while True:
            end = len(lines) if reading.is_whole else lines.rfind(b"\n") + 1
            if end:
                await large.take(lines[:end])
                lines = lines[end:]
                held.release()
                held.take(len(lines))
            if reading.is_whole:
                return await large.finish()
            # Where a line is longer than a piece, this is all of it so far.
            lines += await reading.read(max(_PIECE_BYTES, len(lines)))
    except BaseException:  # a client that has gone and a service that stops among them
        large.abandon()
        raise
