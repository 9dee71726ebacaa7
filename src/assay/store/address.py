"""Where a lake is: its catalogue, its files, and how both are reached. As a person writes it in `store`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from assay.errors import UsageError

__all__ = ["SCHEME", "Lake", "is_lake"]

#: What the setting `store` begins with where it means a lake.
SCHEME: Final = "ducklake:"

_KEYWORDS: Final = re.compile(r"(?:\s*\w+\s*=\s*(?:'(?:[^'\\]|\\.)*'|[^\s']\S*))+\s*")


def is_lake(store: object) -> bool:
    """Whether a store's name means a lake, and not a file."""
    return isinstance(store, str) and store.startswith(SCHEME)


@dataclass(frozen=True, slots=True)
class Lake:
    """A lake: `catalogue` as DuckLake's ATTACH takes it, `data` a folder or an S3 prefix; "": as the catalogue says.

    `s3_endpoint` is the URL of an S3 that is not Amazon's, `s3_region` its region; both may be empty.
    """

    catalogue: str
    data: str = ""
    s3_endpoint: str = ""
    s3_region: str = ""

    @classmethod
    def parse(cls, store: str, *, data: str = "", s3_endpoint: str = "", s3_region: str = "", root: Path) -> Self:
        """A lake as the settings name it; paths start at `root`.

        Raises:
            ValueError: it is none. The message says what is.
        """
        kind, _, rest = store.removeprefix(SCHEME).partition(":")
        match kind:
            case "sqlite" if rest:
                path = _place(root, rest)
                catalogue = f"sqlite:{path}"
                data = data or f"{path}.files"
            case "postgres" if rest:
                catalogue = f"postgres:{_conninfo(rest)}"
            case _:
                raise ValueError(
                    f"{store!r} names no lake: write ducklake:postgres:dbname=… host=…, or ducklake:sqlite:FILE for tries"
                )
        if data and not data.startswith("s3://"):
            data = f"{_place(root, data)}/"
        return cls(catalogue, data, s3_endpoint, s3_region)

    @classmethod
    def named(cls, store: str) -> Self:
        """A lake by its name alone: its catalogue says where its files are.

        Raises:
            UsageError: it is none.
        """
        try:
            return cls(cls.parse(store, root=Path.cwd()).catalogue)
        except ValueError as error:
            raise UsageError(str(error)) from error

    @property
    def file(self) -> Path | None:
        """The catalogue's file, where it is one."""
        kind, _, path = self.catalogue.partition(":")
        return Path(path) if kind == "sqlite" else None

    @property
    def is_on_s3(self) -> bool:
        """Whether its files are objects."""
        return self.data.startswith("s3://")

    def __str__(self) -> str:
        return SCHEME + self.catalogue


def _place(root: Path, written: str) -> Path:
    return (root / Path(written).expanduser()).absolute()


def _conninfo(text: str) -> str:
    """What tells PostgreSQL's library where to connect: no secret in it, as it is shown and handed on."""
    is_url = re.match(r"postgres(?:ql)?://", text) is not None
    if not is_url and not _KEYWORDS.fullmatch(text):
        raise ValueError(f"ducklake:postgres:{text}: write dbname=… host=…, or postgresql://host/database")
    if re.search(r"\bpassword\s*=", text) or (is_url and urlsplit(text).password):
        raise ValueError("a password does not belong into `store`: set PGPASSWORD, or write it into ~/.pgpass")
    return text
