"""Where a log on JetStream is, as a person writes it in `log`: servers, the stream's name, and how many copies it has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["StreamAddress", "is_stream"]

_SCHEMES: Final = ("nats://", "tls://")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
#: A group of servers has 1, 3 or 5 copies of a stream; an even number survives no more than the odd one below it.
_REPLICAS: Final = frozenset("135")
_EXAMPLE: Final = "nats://host:4222,host:4222,host:4222/STREAM?replicas=3"


def is_stream(log: object) -> bool:
    """Whether a log's name means a stream, and not a file."""
    return isinstance(log, str) and log.startswith(_SCHEMES)


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """A stream of JetStream's. `servers` are URLs without secrets; as text it shows none either."""

    servers: tuple[str, ...]
    stream: str
    replicas: int = 3
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    credentials: Path | None = None

    @classmethod
    def parse(cls, log: str, *, root: Path) -> Self:
        """A stream as the settings name it; the path of a credentials file starts at `root`.

        Raises:
            ValueError: it is none. The message says what is, and repeats no secret.
        """
        scheme, _, rest = log.partition("://")
        place, _, query = rest.partition("?")
        netloc, _, stream = place.partition("/")
        secret, _, hosts = netloc.rpartition("@")
        user, _, password = secret.partition(":")
        if not _NAME.fullmatch(stream):
            raise ValueError(f"the stream's name is letters, digits, _ and -: write {_EXAMPLE}")
        names = hosts.split(",")
        for name in names:
            found = _HOST.fullmatch(name)
            if found is None or int(found["port"] or 4222) > 65535:
                raise ValueError(f"{name!r} is no host:port: write {_EXAMPLE}")
        options = dict(parse_qsl(query, keep_blank_values=True))
        replicas, credentials = options.pop("replicas", "3"), options.pop("creds", "")
        if options:
            raise ValueError(f"{min(options)!r} is no option of a stream's: there are replicas and creds")
        if replicas not in _REPLICAS:
            raise ValueError("replicas is 1, 3 or 5")
        return cls(
            tuple(f"{scheme}://{name}" for name in names),
            stream,
            int(replicas),
            unquote(user),
            unquote(password),
            root / Path(credentials).expanduser() if credentials else None,
        )

    def __str__(self) -> str:
        hosts = ",".join(urlsplit(server).netloc for server in self.servers)
        return f"{self.servers[0].partition('://')[0]}://{hosts}/{self.stream}"
