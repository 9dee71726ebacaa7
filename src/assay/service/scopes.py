"""What each call needs: the table of who may do what."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from assay.access.keys import Scope

__all__ = ["Need", "declared", "needed"]

#: A scope, or nothing: the call is open to all.
Need: TypeAlias = Scope | Literal["nothing"]

#: Exactly these paths.
_PATHS: Final[dict[str, Need]] = {
    "/": "nothing",
    "/readyz": "nothing",
    "/docs": "read",
    "/docs/oauth2-redirect": "read",
    "/redoc": "read",
    "/openapi.json": "read",
    "/ui/login": "nothing",
    "/ui/logout": "nothing",
}
#: By the first part of a path: what reading needs, and what a POST does. None: there is no such call.
_PARTS: Final[dict[str, tuple[Need | None, Need | None]]] = {
    "collect": (None, "collect"),
    "validate": (None, "collect"),
    "contracts": ("read", "admin"),
    "profile": ("read", None),
    "quarantine": ("read", None),
    "flush": (None, "admin"),
    "learn": ("read", "admin"),
    "replay": (None, "admin"),
    # Where a person does something, the pages ask for a key with `admin` themselves, and keep what was filled in.
    "ui": ("read", "read"),
}
_READS: Final = frozenset({"GET", "HEAD"})


def declared(method: str, path: str, *, metrics_key: bool = False) -> Need | None:
    """What a call is said to need; None where nobody has said it."""
    if path == "/metrics":
        return "read" if metrics_key else "nothing"
    if path in _PATHS:
        return _PATHS[path]
    first, _, rest = path[1:].partition("/")
    if first == "ui" and rest.startswith("static/") and "/" not in rest[7:]:
        return "nothing" if method in _READS else None
    reading, doing = _PARTS.get(first, (None, None))
    return reading if method in _READS else doing if method == "POST" else None


def needed(method: str, path: str, *, metrics_key: bool = False) -> Scope | None:
    """The scope that a call needs, None for none. What nobody has spoken of needs `admin`."""
    found = declared(method, path, metrics_key=metrics_key)
    return None if found == "nothing" else found or "admin"
