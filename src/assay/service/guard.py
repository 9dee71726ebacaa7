"""Who may.

Without keys a service is for programs on this machine, and not for web pages. A page in a browser can reach localhost, by
a form, a script, or a name that an attacker points there (DNS rebinding). So the `Host` must be one that means this
machine, a POST may not come from another origin, and there are no CORS headers that would let a page read an answer.

As soon as there is a key, a key is asked for, of this machine's programs too: behind a proxy everybody is on this machine. Who
knows a key need not be where they seem to be, so the `Host` no longer matters: a page that points a name here knows no
key, and its browser sends it no session. No page of another origin can add a key's header without our leave, so a request
with one needs no other proof. Where a browser's session opens the door, the origin of a POST is looked at as before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from assay.access.keyring import Keyring
from assay.access.keys import IN_SCOPE, Key
from assay.access.sessions import COOKIE, Sessions
from assay.service.problems import problem
from assay.service.scopes import needed

__all__ = ["Door", "Guard"]

_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@]+)(?::[0-9]*)?")
_OWN_PAGE: Final = re.compile(r"https?://[^/]*(/ui(?:[/?].*)?)")
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Door:
    """What opens a service.

    `keyring` has the keys, `sessions` those that people have shown to the pages. `allowed_hosts` are names taken beside this
    machine's own. `insecure` lets other machines collect, and no more. `metrics_key`: `/metrics` needs a key, too.
    """

    keyring: Keyring
    sessions: Sessions
    allowed_hosts: Sequence[str] = ()
    insecure: bool = False
    metrics_key: bool = False


class Guard:
    """ASGI middleware that turns away what may not come in by a door."""

    def __init__(self, app: ASGIApp, door: Door, refused: Callable[[int], None] = lambda _: None) -> None:
        """`refused` is told with which status a request was turned away."""
        self._app = app
        self._refused = refused
        self._keyring = door.keyring
        self._sessions = door.sessions
        self._hosts = _LOCAL_HOSTS | {_without_port(host.lower()) for host in door.allowed_hosts}
        self._insecure = door.insecure
        self._metrics_key = door.metrics_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        if scope["type"] == "http":
            refusal = self._without_keys(scope) if not self._keyring.is_asked else self._with_keys(scope)
            if refusal is not None:
                self._refused(refusal.status_code)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _without_keys(self, scope: Scope) -> Response | None:
        host = origin = fetch_site = ""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1").lower()
            elif name == b"origin":
                origin = value.decode("latin-1").lower()
            elif name == b"sec-fetch-site":
                fetch_site = value.decode("latin-1").lower()
        if not self._is_open(scope):
            if _without_port(host) not in self._hosts:
                return problem(421, f"Host {host!r} is not this service; allowed_hosts names others than localhost")
            if not _is_local(scope.get("client")):
                return _unauthorized("without a key this service answers programs on its own machine alone")
        return _foreign(scope, host, origin, fetch_site)

    def _with_keys(self, scope: Scope) -> Response | None:
        host = origin = fetch_site = ""
        bearer = own = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                bearer = _bearer(value)
            elif name == b"x-api-key":
                own = value.decode("latin-1").strip()
            elif name == b"host":
                host = value.decode("latin-1").lower()
            elif name == b"origin":
                origin = value.decode("latin-1").lower()
            elif name == b"sec-fetch-site":
                fetch_site = value.decode("latin-1").lower()
        method, path = scope["method"], scope["path"]
        need = needed(method, path, metrics_key=self._metrics_key)
        presented = bearer if bearer is not None else own
        if need is None or (presented is None and self._insecure and _is_collect(path)):
            return _foreign(scope, host, origin, fetch_site) if presented is None else None
        if self._keyring.trouble is not None:
            return problem(503, f"who may cannot be told: {self._keyring.trouble}", headers={"Retry-After": "1"})
        key: Key | None
        if presented is not None:
            key = self._keyring.find(presented)
            if key is None:
                return _unauthorized("that is no key of this service, or it was revoked", ', error="invalid_token"')
        else:
            foreign = _foreign(scope, host, origin, fetch_site)
            if foreign is not None:
                return foreign
            # The pages link to what can be read beside them. What is sent to the other calls, programs send.
            is_page = _is_page(path)
            key = self._sessions.find(session_of(scope)) if is_page or method in _READS else None
            if key is None and is_page:
                return _to_login(scope)
            if key is None:
                return _unauthorized("a key is needed: send it as Authorization: Bearer KEY, or as X-Api-Key: KEY")
        if not key.may(need):
            more = f', error="insufficient_scope", scope="{need}"'
            reason = f'this needs the scope {need}, and the key "{key.name}" has {", ".join(key.scopes)}'
            return problem(403, reason, headers={"WWW-Authenticate": f'Bearer realm="assay"{more}'})
        scope[IN_SCOPE] = key
        return None

    def _is_open(self, scope: Scope) -> bool:
        """Whether other machines may, though there are no keys."""
        path = scope["path"]
        if not self._insecure:
            return False
        return _is_collect(path) or path in {"/", "/readyz"} or (path == "/metrics" and not self._metrics_key)


def session_of(scope: Scope) -> str:
    """The token of the session that a browser says it has; empty where it has none."""
    return cookie_parser(Headers(scope=scope).get("cookie", "")).get(COOKIE, "")


def _bearer(value: bytes) -> str | None:
    kind, _, rest = value.decode("latin-1").partition(" ")
    return rest.strip() if kind.lower() == "bearer" else None


def _foreign(scope: Scope, host: str, origin: str, fetch_site: str) -> Response | None:
    """What a page of another origin is told that sends something."""
    foreign = fetch_site == "cross-site" or (bool(origin) and origin.partition("://")[2] != host)
    if foreign and scope["method"] not in _READS:
        return problem(403, "a page of another origin may not send here")
    return None


def _unauthorized(reason: str, more: str = "") -> Response:
    return problem(401, reason, headers={"WWW-Authenticate": f'Bearer realm="assay"{more}'})


def _to_login(scope: Scope) -> Response:
    """To where a person shows a key, and back to the page, or to the one whose button was pressed."""
    if scope["method"] in _READS:
        query = scope["query_string"].decode("latin-1")
        target = scope["path"] + (f"?{query}" if query else "")
    else:
        match = _OWN_PAGE.fullmatch(Headers(scope=scope).get("referer", ""))
        target = match[1] if match else "/ui"
    return RedirectResponse(f"/ui/login?next={quote(target, safe='/')}", 303, headers={"Cache-Control": "no-store"})


def _is_collect(path: str) -> bool:
    return path == "/collect" or path.startswith("/collect/")


def _is_page(path: str) -> bool:
    return path == "/ui" or path.startswith("/ui/")


def _is_local(client: tuple[str, int] | None) -> bool:
    return client is None or client[0] == "::1" or client[0].startswith(("127.", "::ffff:127."))


def _without_port(host: str) -> str:
    match = _HOST.fullmatch(host)
    return match[1] if match else ""
