"""Who may: a service without keys is for programs on this machine, and not for web pages.

A page in a browser can reach localhost, by a form, a script, or a name that an attacker points there (DNS rebinding).
So the `Host` must be one that means this machine, a POST may not come from another origin, and there are no CORS
headers that would let a page read an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from assay.service.problems import problem

__all__ = ["Guard"]

_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@]+)(?::[0-9]*)?")
_OPEN_TO_ALL: Final = ("/", "/readyz", "/metrics")


class Guard:
    """ASGI middleware that turns away what may not come in.

    `allowed_hosts` are names taken beside this machine's own. `insecure` lets other machines collect, and no more.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Iterable[str] = (), insecure: bool = False) -> None:
        self._app = app
        self._hosts = _LOCAL_HOSTS | {_without_port(host.lower()) for host in allowed_hosts}
        self._insecure = insecure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        if scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal is not None:
                status, reason = refusal
                await problem(status, reason)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        host = origin = fetch_site = ""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1").lower()
            elif name == b"origin":
                origin = value.decode("latin-1").lower()
            elif name == b"sec-fetch-site":
                fetch_site = value.decode("latin-1").lower()
        path = scope["path"]
        opened = self._insecure and (path == "/collect" or path.startswith("/collect/") or path in _OPEN_TO_ALL)
        if not opened:
            if _without_port(host) not in self._hosts:
                return 421, f"Host {host!r} is not this service; allowed_hosts names others than localhost"
            if not _is_local(scope.get("client")):
                return 401, "without a key this service answers programs on its own machine alone"
        foreign = fetch_site == "cross-site" or (bool(origin) and origin.partition("://")[2] != host)
        if foreign and scope["method"] not in {"GET", "HEAD", "OPTIONS"}:
            return 403, "a page of another origin may not send here"
        return None


def _is_local(client: tuple[str, int] | None) -> bool:
    return client is None or client[0] == "::1" or client[0].startswith(("127.", "::ffff:127."))


def _without_port(host: str) -> str:
    match = _HOST.fullmatch(host)
    return match[1] if match else ""
