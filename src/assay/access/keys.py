"""API keys, and the file that knows them again: `<store>.keys`, which holds no key.

{"format": 1, "keys": [{"id": "k3f9a2xq", "name": "checkout", "scopes": ["collect"], "created_at": …, "sha256": …}],
 "revoked": [{"id": …, "name": …, "scopes": …, "created_at": …, "revoked_at": …}]}

A key is `assay_<id>_<secret>`. The secret has 256 bits of the system's generator, so its plain SHA-256 is enough to keep:
slow hashes and salts are for what people make up, which can be guessed; nobody guesses 256 bits, and each request would
have to pay. The id is no secret. It finds the entry, and the digests are compared in constant time.

The file says who may: it is written by one command at a time, beside and renamed, with mode 0600 from its first byte on. One
that others could have written is not believed. Others are not: root, who runs this, and whose folder it lies in.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import string
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from assay.errors import KeysFailed, UsageError
from assay.files import write_atomic

__all__ = ["IN_SCOPE", "SCOPES", "Key", "KeyFile", "Scope", "id_of"]

Scope: TypeAlias = Literal["collect", "read", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
#: Under which name the ASGI scope of a request has the `Key` that it came with, where it came with one.
IN_SCOPE: Final = "assay.key"

_FORMAT: Final = 1
_ID: Final = re.compile(r"[a-z0-9]{8}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SECRET_ALPHABET: Final = string.ascii_letters + string.digits
_SECRET_LENGTH: Final = 43  # of 62 characters: 256 bits
_LARGEST: Final = 16 << 20
_MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key. `digest` is the SHA-256 of all of it, and empty once it is revoked."""

    id: str
    #: The source of what is sent with it.
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    digest: bytes = field(default=b"", repr=False)
    revoked_at: datetime | None = None

    def may(self, scope: Scope) -> bool:
        """Whether it opens what needs a scope; `admin` opens all."""
        return scope in self.scopes or "admin" in self.scopes

    def is_key(self, presented: str) -> bool:
        """Whether that is the key which this was kept of."""
        return bool(self.digest) and hmac.compare_digest(_digest(presented), self.digest)

    def to_document(self) -> dict[str, Any]:
        """What may be said of it: all but its digest."""
        changed = {} if self.revoked_at is None else {"revoked_at": self.revoked_at.strftime(_MOMENT)}
        return {
            "id": self.id,
            "name": self.name,
            "scopes": list(self.scopes),
            "created_at": self.created_at.strftime(_MOMENT),
            **changed,
        }


def id_of(presented: str) -> str:
    """The id that a key says it has; empty where it is no key of ours."""
    kind, _, rest = presented.partition("_")
    return rest.partition("_")[0] if kind == "assay" else ""


class KeyFile:
    """The file of keys of a store."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Key, ...] | None:
        """Every key, those that are revoked last; None where there is no file.

        Raises:
            KeysFailed: it is damaged, cannot be read, or others may write it.
        """
        try:
            with self.path.open("rb") as file:
                self._check_owner(os.fstat(file.fileno()))
                data = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            reason = "cannot be read: it must belong to the user that the service runs as"
            raise KeysFailed(self.path, reason) from error
        except OSError as error:
            raise KeysFailed(self.path, f"cannot be read: {error.strerror}") from error
        if len(data) > _LARGEST:
            raise KeysFailed(self.path, "is too large to be a file of keys")
        try:
            return _parse(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise KeysFailed(
                self.path, f"is damaged ({error}); bring back a copy, or take it away and make new keys"
            ) from error

    def create(self, name: str, scopes: Iterable[Scope]) -> tuple[Key, str]:
        """Make a key: what is kept of it, and the key itself, which is nowhere else.

        Raises:
            UsageError: that is no name for a key, or no scope was named.
            KeysFailed: the file is damaged, or cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f'"{name}" is no name for a key: letters, digits, ".", "_" and "-" are, at most 63')
        asked = set(scopes)
        chosen = tuple(scope for scope in SCOPES if scope in asked)
        if not chosen:
            raise UsageError(f"a key needs a scope: {', '.join(SCOPES[:-1])} or {SCOPES[-1]}")
        with self._alone():
            keys = self.read() or ()
            taken = {each.id for each in keys} | {each.name for each in keys} | {name}
            id_ = next(found for found in _ids() if found not in taken)
            secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
            text = f"assay_{id_}_{secret}"
            key = Key(id_, name, chosen, datetime.now(UTC).replace(microsecond=0), _digest(text))
            self._write([*keys, key])
        return key, text

    def revoke(self, named: str) -> tuple[Key, int]:
        """Take a key's power, by its id or its name; what is kept of it, and how many keys are left.

        The file stays, also without keys: taking away the last one does not open the door.

        Raises:
            UsageError: there is no such key, or more than one.
            KeysFailed: the file is damaged, or cannot be written.
        """
        with self._alone():
            keys = self.read() or ()
            alive = [each for each in keys if each.revoked_at is None]
            found = [each for each in alive if named in {each.id, each.name}]
            if len(found) > 1:
                which = ", ".join(f"{each.id} (created {each.created_at:%Y-%m-%d})" for each in found)
                raise UsageError(f'{len(found)} keys have the name "{named}": say which by its id: {which}')
            if not found:
                known = ", ".join(sorted({each.name for each in alive})) or "none"
                raise UsageError(f'no key has the name or id "{named}"; there are: {known}')
            gone = replace(found[0], digest=b"", revoked_at=datetime.now(UTC).replace(microsecond=0))
            self._write([gone if each.id == gone.id else each for each in keys])
        return gone, len(alive) - 1

    def mode(self) -> int | None:
        """Its permissions, such as 0o600; None where there is no file."""
        try:
            return stat.S_IMODE(self.path.stat().st_mode)
        except FileNotFoundError:
            return None

    def _check_owner(self, status: os.stat_result) -> None:
        if status.st_uid not in {0, os.geteuid(), self.path.parent.stat().st_uid}:
            reason = f"belongs to another user ({status.st_uid}), and is not believed; see who put it there"
            raise KeysFailed(self.path, reason)
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise KeysFailed(self.path, f"may be written by others, and is not believed; chmod 600 {self.path}")

    def _write(self, keys: Sequence[Key]) -> None:
        alive = [each for each in keys if each.revoked_at is None]
        document = {
            "format": _FORMAT,
            "keys": [each.to_document() | {"sha256": each.digest.hex()} for each in alive],
            "revoked": [each.to_document() for each in keys if each.revoked_at is not None],
        }
        try:
            data = (json.dumps(document, indent=2) + "\n").encode()
            write_atomic(self.path, data, mode=0o600, owner=self._owner())
        except OSError as error:
            raise KeysFailed(self.path, f"cannot be written: {error.strerror}; nothing was changed") from error

    def _owner(self) -> tuple[int, int] | None:
        """Whose it is to be: root makes keys for a service that runs as somebody else, who must be able to read them."""
        if os.geteuid() != 0:
            return None
        status = (self.path if self.path.exists() else self.path.parent).stat()
        return status.st_uid, status.st_gid

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two commands at once take turns: else one would write over what the other wrote."""
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise KeysFailed(self.path, f"cannot be written: {lock}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _ids() -> Iterator[str]:
    alphabet = string.ascii_lowercase + string.digits
    while True:
        yield "".join(secrets.choice(alphabet) for _ in range(8))


def _parse(document: Any) -> tuple[Key, ...]:
    """What a file says.

    Raises:
        ValueError: it is none that assay wrote; the message says where.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("it has no list of keys")  # noqa: TRY004  it is the file that is wrong
    if document.get("format") != _FORMAT:
        raise ValueError(f"its format is {document.get('format')!r}, and {_FORMAT} is known")
    revoked = document.get("revoked", [])
    if not isinstance(revoked, list):
        raise ValueError("revoked is no list")  # noqa: TRY004
    found = [_parse_key(each, number, gone=False) for number, each in enumerate(document["keys"], 1)]
    found += [_parse_key(each, number, gone=True) for number, each in enumerate(revoked, 1)]
    if len({each.id for each in found}) < len(found):
        raise ValueError("two keys have one id")
    return tuple(found)


def _parse_key(given: Any, number: int, *, gone: bool) -> Key:
    where = f"{'revoked ' if gone else ''}key {number}"
    try:
        scopes = tuple(given["scopes"])
        created_at = _moment(given["created_at"])
        digest = b"" if gone else bytes.fromhex(given["sha256"])
        revoked_at = _moment(given["revoked_at"]) if gone else None
        key = Key(given["id"], given["name"], scopes, created_at, digest, revoked_at)
        is_right = bool(scopes) and set(scopes) <= set(SCOPES) and len(digest) == (0 if gone else 32)
        is_right = is_right and bool(_ID.fullmatch(key.id) and _NAME.fullmatch(key.name))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where} is not as assay writes it") from error
    if not is_right:
        raise ValueError(f"{where} is not as assay writes it")
    return key


def _moment(text: str) -> datetime:
    return datetime.strptime(text, _MOMENT).replace(tzinfo=UTC)
