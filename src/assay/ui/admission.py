"""Who looks, and who does: the key behind a page, and the one that a person adds to do what theirs may not."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from assay.access.keyring import Keyring
from assay.access.keys import IN_SCOPE, Key
from assay.access.sessions import COOKIE, Sessions
from assay.errors import UsageError

__all__ = ["FIELD", "AdminNeeded", "Admission", "way_back"]

#: The field of a form that has a key.
FIELD: Final = "key"

_NO_KEY: Final = "That is no key of this service, or it was revoked."


class AdminNeeded(UsageError):
    """What was asked needs a key with the scope `admin`. `form` is what was filled in, without any key; `reason` why it is asked (again)."""

    def __init__(self, form: dict[str, str], reason: str) -> None:
        self.form = form
        self.reason = reason
        super().__init__("a key with the scope admin is needed")


class Admission:
    """Sees to it that a person has shown a key, where keys are asked for."""

    def __init__(self, keyring: Keyring, sessions: Sessions) -> None:
        self._keyring = keyring
        self._sessions = sessions

    @property
    def is_asked(self) -> bool:
        """Whether keys are asked for at all."""
        return self._keyring.is_asked

    @staticmethod
    def key(request: Request) -> Key | None:
        """The key of who looks; the guard has put it there."""
        found: Key | None = request.scope.get(IN_SCOPE)
        return found

    def may_do(self, request: Request) -> bool:
        """Whether who looks may do things, too, without another key."""
        key = self.key(request)
        return not self.is_asked or (key is not None and key.may("admin"))

    def doer(self, request: Request, form: dict[str, str]) -> str | None:
        """Who does what a form says: the name of the key; None where keys are not asked for.

        A key in the form counts for this once. It is taken out of the form.

        Raises:
            AdminNeeded: neither the key of who looks nor one in the form has the scope `admin`.
        """
        given = form.pop(FIELD, "").strip()
        if not self.is_asked:
            return None
        key = self.key(request)
        if key is not None and key.may("admin"):
            return key.name
        if not given:
            raise AdminNeeded(form, "")
        key = self._find(given)
        if key is None:
            raise AdminNeeded(form, _NO_KEY)
        if not key.may("admin"):
            raise AdminNeeded(form, f"The key “{key.name}” has not the scope admin.")
        return key.name

    def log_in(self, request: Request, response: Response, given: str) -> str:
        """Begin a session with a key, and have the browser keep it; why not, or the empty text."""
        key = self._find(given.strip())
        if key is None:
            return _NO_KEY
        if not key.may("read"):
            return f"The key “{key.name}” may {' and '.join(key.scopes)}: these pages need one with the scope read."
        # Behind a proxy that ends TLS, the browser says what it sees.
        is_https = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
        token = self._sessions.begin(key)
        # For the whole service: pages link to contracts, which lie beside them.
        response.set_cookie(COOKIE, token, path="/", httponly=True, samesite="strict", secure=is_https)
        return ""

    def log_out(self, request: Request, response: Response) -> None:
        """End the session."""
        self._sessions.end(request.cookies.get(COOKIE, ""))
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")

    def _find(self, given: str) -> Key | None:
        """Raises KeysFailed where nobody can be told from anybody."""
        if self._keyring.trouble is not None:
            raise self._keyring.trouble
        return self._keyring.find(given)


def way_back(target: str) -> str:
    """Where to go after a login: a page of ours, whatever was asked for."""
    is_ours = target.startswith(("/ui/", "/ui?")) and target.isascii() and target.isprintable() and "\\" not in target
    return target if is_ours and not target.startswith(("/ui/login", "/ui/logout")) else "/ui"
