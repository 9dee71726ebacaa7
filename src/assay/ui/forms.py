"""What a page sends: small forms, each with a token that only a page of this service can know.

The guard before the pages turns away foreign hosts, origins and sites. The token is a second lock: it is made from a
cookie that only this browser has, by a secret that only this process has.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from assay.errors import UsageError

__all__ = ["Forged", "Tokens", "read_form"]

COOKIE: Final = "assay_page"
FIELD: Final = "token"
_LARGEST_FORM: Final = 16 << 10


class Forged(UsageError):
    """A form whose token is not this service's: it is another page's, or older than the service."""

    def __init__(self) -> None:
        super().__init__(
            "this form is older than the running service, or was not made by it; go back, load the page again"
        )


class Tokens:
    """Makes tokens and knows them again."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def token(self, request: Request) -> tuple[str, str | None]:
        """The token for the forms of a page; and the cookie that the page has to set, where the browser has none."""
        cookie = request.cookies.get(COOKIE, "")
        if len(cookie) >= 32 and cookie.isascii():
            return self._sign(cookie), None
        fresh = secrets.token_urlsafe(32)
        return self._sign(fresh), fresh

    def set_cookie(self, response: Response, value: str) -> None:
        """Have the browser keep the cookie, for these pages and for no script."""
        response.set_cookie(COOKIE, value, path="/ui", httponly=True, samesite="strict")

    def check(self, request: Request, form: Mapping[str, str]) -> None:
        """Raise Forged unless the form has the token of this browser's cookie."""
        cookie = request.cookies.get(COOKIE, "")
        if not cookie or not hmac.compare_digest(self._sign(cookie).encode(), form.get(FIELD, "").encode()):
            raise Forged

    def _sign(self, cookie: str) -> str:
        return hmac.new(self._secret, cookie.encode(), hashlib.sha256).hexdigest()


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form as browsers send it; of repeated ones the last.

    Raises:
        UsageError: it is no such form, or too large to be one of ours.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise UsageError("a form is expected, as application/x-www-form-urlencoded")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise UsageError(f"a form of the pages has at most {_LARGEST_FORM:,} bytes")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise UsageError("the form is not one that a browser sends") from error
