"""Reads the ingest log beside its writer, from another thread or another process."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.contract.document import Contract
from assay.errors import LogFailed
from assay.ingest.payload import unpack_request
from assay.ingest.record import REJECTS, Kind, Opening, Stored, connect

__all__ = ["Reader"]


class Reader:
    """Reads the log beside its writer, in short transactions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._con: sqlite3.Connection | None = None
        self._contracts: dict[int, Contract] = {}

    def read(self, after: int, max_bytes: int) -> list[Stored]:
        """The next records beyond `after`, in order: as many as hold `max_bytes` of payload, and at least one.

        Raises:
            LogFailed: it cannot be read.
        """
        try:
            return list(self._read(after, max_bytes))
        except sqlite3.Error as error:
            raise LogFailed(self._path, str(error)) from error

    def pieces(self, last: Stored, after: int, max_bytes: int) -> list[Stored]:
        """The next pieces beyond `after` of the request whose last record is `last`: as many as hold `max_bytes`.

        At least one; where there is none, `last` itself, with nothing in it.

        Raises:
            LogFailed: it cannot be read.
        """
        try:
            return list(self._pieces(last, after, max_bytes))
        except sqlite3.Error as error:
            raise LogFailed(self._path, str(error)) from error

    def openings(self) -> list[Opening]:
        """Every time that the log was opened, the latest last."""
        return [Opening(id_, base) for id_, base in self._query("SELECT id, base FROM opening ORDER BY n")]

    def id(self) -> str:
        """The log's id: that of its first opening. A copy has the same."""
        return self.openings()[0].id

    def freed_through(self) -> int:
        """The last sequence number that was taken out."""
        ((value,),) = self._query("SELECT value FROM meta WHERE key = 'freed'")
        return int(value)

    def last_seq(self) -> int:
        """The last sequence number ever given."""
        rows = self._query("SELECT seq FROM sqlite_sequence WHERE name = 'record'")
        return max(int(rows[0][0]) if rows else 0, self.freed_through())

    def close(self) -> None:
        """Let go of the file."""
        if self._con is not None:
            self._con.close()
            self._con = None

    def _open(self) -> sqlite3.Connection:
        if self._con is None:
            self._con = connect(self._path)
        return self._con

    def _query(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return self._open().execute(query).fetchall()
        except sqlite3.Error as error:
            raise LogFailed(self._path, str(error)) from error

    def _read(self, after: int, max_bytes: int) -> Iterator[Stored]:
        cursor = self._open().execute(
            "SELECT seq, opening.id, kind, dataset, contract, source, content_type, received_us, events, payload, key"
            " FROM record JOIN opening ON opening.n = record.opening WHERE seq > ? ORDER BY seq",
            [after],
        )
        size = 0
        for seq, opening, kind, dataset, contract, source, content_type, received_us, events, payload, key in cursor:
            found = None if contract is None else self._contract(contract)
            yield Stored(
                Kind(kind), dataset, found, source, content_type, received_us, events, payload, seq, opening, key=key
            )
            size += len(payload)
            if size >= max_bytes:
                break
        cursor.close()

    def _pieces(self, last: Stored, after: int, max_bytes: int) -> Iterator[Stored]:
        wanted = unpack_request(last.payload)
        kinds = f"AND kind IN {tuple(map(int, REJECTS))}" if wanted.rejects_only else ""
        cursor = self._open().execute(
            f"SELECT id, kind, events, payload FROM piece WHERE request = ? AND id > ? {kinds} ORDER BY id",
            [wanted.request, after],
        )
        size = 0
        row = cursor.fetchone()
        if row is None:
            yield replace(last, request=wanted.request)
        while row is not None and (not size or size < max_bytes):
            piece, kind, events, payload = row
            size += len(payload)
            row = cursor.fetchone()
            found = replace(last, kind=Kind(kind), events=events, payload=payload)
            yield replace(found, request=wanted.request, piece=piece, ends=row is None)
        cursor.close()

    def _contract(self, row: int) -> Contract:
        if row not in self._contracts:
            dataset, version, document = (
                self._open().execute("SELECT dataset, version, document FROM contract WHERE id = ?", [row]).fetchone()
            )
            self._contracts[row] = Contract.parse(json.loads(document), dataset=dataset, version=version)
        return self._contracts[row]
