"""Every call has a declared scope, and what is declared is what is asked for: all scopes by all routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.routing import BaseRoute, Route

from assay.access.keys import SCOPES, Scope
from assay.errors import ServiceError
from assay.service.errands import Errands
from assay.service.scopes import Need, declared, needed
from tests.conftest import NUMBER, Bench, Service

#: Every call of the service, written out: who adds one says here who may.
CALLS: dict[str, Need] = {
    "GET /": "nothing",
    "GET /readyz": "nothing",
    "GET /metrics": "nothing",
    "POST /collect": "collect",
    "POST /collect/{dataset}": "collect",
    "POST /validate": "collect",
    "POST /validate/{dataset}": "collect",
    "GET /contracts": "read",
    "GET /contracts/{dataset}": "read",
    "GET /contracts/{dataset}/{number}": "read",
    "GET /profile/{dataset}": "read",
    "GET /quarantine/{dataset}": "read",
    "GET /learn/{dataset}/{job}": "read",
    "GET /docs": "read",
    "GET /docs/oauth2-redirect": "read",
    "GET /redoc": "read",
    "GET /openapi.json": "read",
    "POST /flush": "admin",
    "POST /contracts/{dataset}/activate": "admin",
    "POST /learn/{dataset}": "admin",
    "POST /replay/{dataset}": "admin",
    "GET /ui": "read",
    "GET /ui/login": "nothing",
    "POST /ui/login": "nothing",
    "POST /ui/logout": "nothing",
    "GET /ui/runbook": "read",
    "GET /ui/static/{name}": "nothing",
    "GET /ui/jobs/{number:int}": "read",
    "GET /ui/datasets/{dataset}": "read",
    "GET /ui/datasets/{dataset}/quarantine": "read",
    "GET /ui/datasets/{dataset}/contracts": "read",
    "GET /ui/datasets/{dataset}/contracts/{number:int}": "read",
    "GET /ui/datasets/{dataset}/diff": "read",
    "GET /ui/datasets/{dataset}/activate": "read",
    "GET /ui/{rest:path}": "read",
    # What changes something asks for admin on the page itself: tests/ui/test_admission.py.
    "POST /ui/datasets/{dataset}/activate": "read",
    "POST /ui/datasets/{dataset}/learn": "read",
    "POST /ui/datasets/{dataset}/try": "read",
    "POST /ui/datasets/{dataset}/suggest": "read",
    "POST /ui/datasets/{dataset}/replay": "read",
}
SETS = [set(each) for count in range(len(SCOPES) + 1) for each in combinations(SCOPES, count)]


def calls(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Every method and path that routes answer."""
    for route in routes:
        included = getattr(route, "original_router", None)  # FastAPI's, where it does not copy what is included
        if included is not None:
            yield from calls(included.routes)
            continue
        assert isinstance(route, Route), f"{route}: say here how its calls are found"
        for method in route.methods or ():
            if method != "HEAD":
                yield method, route.path


def real(path: str) -> str:
    """A path that a route matches."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda match: "1" if match[1] == "number" else "d", path)


@pytest.fixture(scope="module")
def keys() -> dict[frozenset[Scope], str]:
    return {}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, keys: dict[frozenset[Scope], str]) -> Iterator[Service]:
    bench = Bench(tmp_path_factory.mktemp("scopes"))
    bench.enforce("d", {"a": NUMBER})
    for scopes in SETS[1:]:
        keys[frozenset(scopes)] = bench.key(*scopes)

    async def run(*_: object) -> None:
        raise ServiceError("errands are not what is tested here")

    with pytest.MonkeyPatch.context() as patch, bench.service() as service:
        patch.setattr(Errands, "run", run)
        yield service


def test_every_route_has_a_declared_scope(service: Service) -> None:
    found = {f"{method} {path}": declared(method, real(path)) for method, path in calls(service.client.app.routes)}
    assert found == CALLS


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
@pytest.mark.parametrize("scopes", SETS, ids=lambda scopes: "+".join(sorted(scopes)) or "no key")
def test_a_key_opens_what_its_scopes_say_and_nothing_else(
    service: Service, keys: dict[frozenset[Scope], str], scopes: set[Scope], header: str
) -> None:
    text = keys.get(frozenset(scopes))
    sent = {} if text is None else {header: f"Bearer {text}" if header == "Authorization" else text}
    for call, need in CALLS.items():
        method, _, path = call.partition(" ")
        answer = service.client.request(method, real(path), headers=sent)
        may = need == "nothing" or need in scopes or "admin" in scopes
        # A form of the pages without its token is a 400 or 403 of their own.
        if may and method == "POST" and path.startswith("/ui"):
            assert "Location" not in answer.headers, call
            assert answer.headers["Content-Type"].startswith("text/html"), call
        elif may:
            assert answer.status_code not in {401, 403, 421}, (call, answer.text)
        elif text is None and path.startswith("/ui"):
            assert answer.status_code == 303, call
            assert answer.headers["Location"].startswith("/ui/login?next="), call
        else:
            assert answer.status_code == (401 if text is None else 403), call
            assert answer.json()["status"] == answer.status_code
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="assay"')


def test_metrics_need_nothing_or_read() -> None:
    assert declared("GET", "/metrics") == "nothing"
    assert declared("GET", "/metrics", metrics_key=True) == "read"


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", ""]
PIECES = ["/", "//", ".", "..", "%2f", "ui", "collect", "static", "login", "metrics", "readyz", "flush", "\x00", "é"]
PATHS = st.text() | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
OPEN = {f"{call.split()[0]} {call.split()[1]}" for call, need in CALLS.items() if need == "nothing"}


@given(st.sampled_from(METHODS), PATHS)
@example("GET", "/readyz/")
@example("GET", "/ui/static/../../flush")
@example("POST", "/ui/static/x")
@example("GET", "")
def test_what_nobody_has_spoken_of_needs_admin(service: Service, method: str, path: str) -> None:
    """Whatever the path, what is open to all is a call that is said to be."""
    if needed(method, path) is None:
        name = re.sub(r"^/ui/static/[^/]*$", "/ui/static/{name}", path)
        assert name in {call.split()[1] for call in OPEN}
    first = path[1:].partition("/")[0]
    if first not in {each.split("/", 2)[1].partition("?")[0] for each in CALLS} | {""}:
        assert needed(method, path) == "admin"
