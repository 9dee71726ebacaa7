"""The pages where keys are asked for: logging in and out, and the admin key for what changes something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.access.sessions import COOKIE
from assay.contract.history import history
from assay.contract.versions import Active
from assay.ui.admission import way_back
from tests.conftest import NUMBER, Bench, Service, until
from tests.ui.test_pages import Tags, shown

ORIGIN = "http://localhost:8080"
ACTS = {
    "activate": {"contract": "2", "mode": "observe"},
    "learn": {},
    "suggest": {"fingerprint": "0123456789abcdef"},
    "replay": {"contract": "1", "dry_run": "no"},
}


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.enforce("d", {"a": NUMBER})
    bench.contract("d", {"a": {"type": "number", "maximum": 200}})
    return bench


@pytest.fixture
def admin(bench: Bench) -> str:
    return bench.key("admin", name="ada")


@pytest.fixture
def reader(bench: Bench) -> str:
    return bench.key("read", name="ray")


@pytest.fixture
def service(bench: Bench, admin: str, reader: str) -> Iterator[Service]:
    with bench.service() as service:
        yield service


def post(service: Service, path: str, page: httpx.Response, **fields: str) -> httpx.Response:
    """Send a form with a page's token; the client keeps cookies as a browser does."""
    token = re.search(r'name="token" value="([0-9a-f]+)"', page.text)
    assert token is not None
    body = urlencode({"token": token[1], **fields}).encode()
    return service.client.post(path, body, {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN})


def log_in(service: Service, key: str, **fields: str) -> httpx.Response:
    return post(service, "/ui/login", service.client.get("/ui/login"), key=key, **fields)


def test_a_key_is_taken_once(service: Service, reader: str) -> None:
    sent = service.client.get("/ui/datasets/d?field=a")
    assert sent.status_code == 303
    assert parse_qs(urlsplit(sent.headers["Location"]).query) == {"next": ["/ui/datasets/d?field=a"]}
    form = service.client.get(sent.headers["Location"])
    assert form.status_code == 200
    assert 'name="next" value="/ui/datasets/d?field=a"' in form.text
    tags = Tags()
    tags.feed(form.text)
    assert tags.bad == []

    entered = log_in(service, f" {reader}\n", next="/ui/datasets/d?field=a")
    assert entered.status_code == 303
    assert entered.headers["Location"] == "/ui/datasets/d?field=a"
    cookie = entered.headers["Set-Cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert "secure" not in cookie.lower()
    assert reader not in cookie

    page = service.client.get("/ui/datasets/d?field=a")
    assert page.status_code == 200
    assert "key ray , read only" in shown(page)
    # What the pages link to can be read, too.
    for path in ("/docs", "/openapi.json", "/contracts/d/1", "/quarantine/d"):
        assert service.client.get(path).status_code == 200
    # Commands to copy are those that work here.
    assert '-H "Authorization: Bearer $KEY"' in shown(service.client.get("/ui/datasets/d/quarantine"))


def test_a_session_sends_nothing_to_other_calls(service: Service, admin: str) -> None:
    log_in(service, admin)
    assert service.client.get("/ui").status_code == 200
    for path in ("/flush", "/collect/d", "/validate/d", "/replay/d", "/learn/d", "/contracts/d/activate"):
        assert service.client.post(path, headers={"Origin": ORIGIN}).status_code == 401


def test_behind_https_the_cookie_is_for_https(service: Service, reader: str) -> None:
    token = re.search(r'name="token" value="([0-9a-f]+)"', service.client.get("/ui/login").text)
    assert token is not None
    answer = service.client.post(
        "/ui/login",
        urlencode({"token": token[1], "key": reader}).encode(),
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "Host": "assay.example",
            "Origin": "https://assay.example",
        },
    )
    assert answer.status_code == 303
    assert "secure" in {part.strip().lower() for part in answer.headers["Set-Cookie"].split(";")}


def test_what_does_not_log_in(service: Service, bench: Bench) -> None:
    collects = bench.key("collect", name="sender")
    assert until(lambda: service.client.post("/validate/d", b"{}", {"X-Api-Key": collects}).status_code != 401, 2)
    for key, says in (
        ("", "no key of this service"),
        ("assay_aaaaaaaa_x", "no key of this service"),
        (collects, "The key “sender” may collect"),
    ):
        answer = log_in(service, key, next="/ui/runbook")
        assert answer.status_code == 403
        assert says in shown(answer)
        assert COOKIE not in answer.headers.get("set-cookie", "")
        assert 'value="/ui/runbook"' in answer.text
        assert collects not in answer.text
    assert service.client.get("/ui").status_code == 303


def test_another_page_can_log_nobody_in(service: Service, reader: str) -> None:
    """Nor with a form of its own, nor with a token that it got for itself."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"key": reader}).encode()
    assert service.client.post("/ui/login", body, form | {"Origin": "http://evil.example"}).status_code == 403
    answer = service.client.post("/ui/login", body, form | {"Origin": ORIGIN})
    assert answer.status_code == 403
    assert COOKIE not in answer.headers.get("set-cookie", "")


def test_logging_out_ends_the_session_here(service: Service, reader: str) -> None:
    log_in(service, reader)
    token = service.client.http.cookies[COOKIE]
    page = service.client.get("/ui")
    out = post(service, "/ui/logout", page)
    assert out.headers["Location"] == "/ui/login"
    assert COOKIE not in service.client.http.cookies
    assert service.client.get("/ui", Cookie=f"{COOKIE}={token}").status_code == 303


def test_a_session_ends_with_its_key(service: Service, bench: Bench, reader: str) -> None:
    log_in(service, reader)
    assert service.client.get("/ui").status_code == 200
    bench.keys.revoke("ray")
    assert until(lambda: service.client.get("/ui").status_code == 303, 2)


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://localhost:8080/ui/datasets/d/contracts?now=1", "/ui/datasets/d/contracts?now=1"),
        ("http://localhost:8080/elsewhere", "/ui"),
        ("", "/ui"),
        ("//[", "/ui"),
    ],
)
def test_a_button_of_a_page_whose_session_ended_leads_back_to_the_page(
    service: Service, referer: str, back: str
) -> None:
    answer = service.client.post("/ui/datasets/d/learn", b"", {"Origin": ORIGIN, "Referer": referer})
    assert answer.status_code == 303
    assert parse_qs(urlsplit(answer.headers["Location"]).query) == {"next": [back]}


def test_a_link_from_elsewhere_is_sent_on_with_the_session(service: Service, reader: str) -> None:
    """The browser keeps the cookie back then: the login page sends it on, and that request has it."""
    page = service.client.get("/ui/login?next=/ui/datasets/d", **{"Sec-Fetch-Site": "cross-site"})
    assert page.headers["Refresh"] == "0; url=/ui/datasets/d"
    assert "Refresh" not in service.client.get("/ui/login?next=/ui/datasets/d").headers


@pytest.mark.parametrize("act", ACTS)
def test_who_reads_is_asked_for_an_admin_key_and_loses_nothing(
    service: Service, bench: Bench, admin: str, reader: str, act: str
) -> None:
    log_in(service, reader)
    page = service.client.get("/ui/datasets/d/contracts")
    path, fields = f"/ui/datasets/d/{act}", ACTS[act]
    for key, says in (
        ("", "This changes something"),
        ("wrong", "no key of this service"),
        (reader, "has not the scope admin"),
    ):
        asked = post(service, path, page, **fields, **({"key": key} if key else {}))
        assert asked.status_code == 403
        assert says in shown(asked)
        assert f'action="{path}"' in asked.text
        for name, value in fields.items():
            assert f'type="hidden" name="{name}" value="{value}"' in asked.text
        assert not key or key not in asked.text
        assert asked.text.count('name="key"') == 1
        tags = Tags()
        tags.feed(asked.text)
        assert tags.bad == []
    assert bench.versions.active("d") is not None
    assert service.collector.enforced.judges["d"].contract.version == 1

    done = post(service, path, asked, **fields, key=admin)
    assert done.status_code == 303, shown(done)
    # It was for this once.
    assert post(service, path, page, **fields).status_code == 403
    if act == "activate":
        assert service.collector.enforced.judges["d"].active.mode == "observe"
        assert history(bench.versions, "d")[-1].by == "ada"


def test_a_field_is_observed_with_an_admin_key(service: Service, admin: str, reader: str, bench: Bench) -> None:
    log_in(service, reader)
    page = service.client.get("/ui/datasets/d/activate?contract=1&observe=a")
    assert page.text.count('name="key"') == 1
    asked = post(service, "/ui/datasets/d/activate", page, contract="1", observe="a")
    assert (asked.status_code, "Observe a of d@1" in shown(asked)) == (403, True)
    assert bench.versions.active("d") == Active(1)
    done = post(service, "/ui/datasets/d/activate", asked, contract="1", observe="a", key=admin)
    assert done.status_code == 303
    assert bench.versions.active("d") == Active(1, fields={"a": "observe"})
    assert history(bench.versions, "d")[-1].by == "ada"


def test_who_may_is_not_asked(service: Service, admin: str, bench: Bench) -> None:
    log_in(service, admin)
    page = service.client.get("/ui/datasets/d/activate?contract=2&mode=enforce")
    assert 'name="key"' not in page.text
    done = post(service, "/ui/datasets/d/activate", page, contract="2", mode="enforce")
    assert done.status_code == 303
    assert history(bench.versions, "d")[-1].by == "ada"


def test_the_confirmation_asks_at_once(service: Service, admin: str, reader: str, bench: Bench) -> None:
    log_in(service, reader)
    page = service.client.get("/ui/datasets/d/activate?contract=2&mode=enforce")
    assert page.text.count('name="key"') == 1
    done = post(service, "/ui/datasets/d/activate", page, contract="2", mode="enforce", key=admin)
    assert done.status_code == 303
    assert service.collector.enforced.judges["d"].contract.version == 2


@pytest.mark.parametrize(("act", "fields"), [("try", {"contract": "2"}), ("replay", {"contract": "2"})])
def test_what_changes_nothing_needs_no_more(service: Service, reader: str, act: str, fields: dict[str, str]) -> None:
    log_in(service, reader)
    page = service.client.get("/ui/datasets/d/contracts")
    assert post(service, f"/ui/datasets/d/{act}", page, **fields).headers["Location"].startswith("/ui/jobs/")


def test_a_key_in_a_header_shows_pages_too(service: Service, reader: str) -> None:
    assert service.client.get("/ui", **{"X-Api-Key": reader}).status_code == 200


def test_without_keys_nobody_is_asked(bench: Bench) -> None:
    with bench.service() as service:
        assert service.client.get("/ui/login").headers["Location"] == "/ui"
        page = service.client.get("/ui/datasets/d/activate?contract=2&mode=enforce")
        assert 'name="key"' not in page.text
        assert "Log out" not in page.text
        assert "Bearer" not in service.client.get("/ui/datasets/d/quarantine").text
        done = post(service, "/ui/datasets/d/activate", page, contract="2", mode="enforce")
        assert done.status_code == 303
        assert history(bench.versions, "d")[-1].by == "the page"


def test_a_damaged_file_of_keys_is_said_at_the_door(service: Service, bench: Bench, reader: str) -> None:
    form = service.client.get("/ui/login")
    bench.keys.path.write_text("{")
    assert until(lambda: service.client.get("/readyz").status_code == 503, 2)
    answer = post(service, "/ui/login", form, key=reader)
    assert answer.status_code == 503
    assert "is damaged" in shown(answer)
    assert service.client.get("/ui").status_code == 503


@pytest.mark.parametrize(
    ("target", "way"),
    [
        ("/ui/datasets/d?field=a&x=1", "/ui/datasets/d?field=a&x=1"),
        ("/ui?x", "/ui?x"),
        ("", "/ui"),
        ("/", "/ui"),
        ("/uix", "/ui"),
        ("//evil.example/ui/", "/ui"),
        ("https://evil.example/ui/", "/ui"),
        ("/ui/\\evil.example", "/ui"),
        ("/ui/\r\nSet-Cookie: a=b", "/ui"),
        ("/ui/login?next=/ui/login", "/ui"),
        ("/ui/logout", "/ui"),
    ],
)
def test_the_way_back_is_a_page_of_ours(target: str, way: str) -> None:
    assert way_back(target) == way


@given(st.text() | st.from_regex(r"/ui[/?].*"))
def test_the_way_back_never_leads_away(target: str) -> None:
    parts: Any = urlsplit(way_back(target))
    assert (parts.scheme, parts.netloc) == ("", "")
    assert parts.path == "/ui" or parts.path.startswith("/ui/")
    assert way_back(target).isprintable()
