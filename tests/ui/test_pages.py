"""The pages over HTTP: what they show, what they refuse, and that nothing from events becomes anything but text."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import httpx
import pytest

from assay import assemble
from assay.contract.versions import Active
from assay.ui.forms import COOKIE
from tests.conftest import Bench, Service, held, until

HOSTILE = '<script>alert("x")</script>'
HTML_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PATHS = [
    "/ui",
    "/ui/runbook",
    "/ui/datasets/d",
    "/ui/datasets/d?field=a",
    "/ui/datasets/d/quarantine",
    "/ui/datasets/d/contracts",
    "/ui/datasets/d/contracts/1",
    "/ui/datasets/d/diff?from=1&to=2",
    "/ui/datasets/d/activate?contract=2&mode=observe",
    f"/ui/datasets/d/activate?{urlencode({'contract': 1, 'observe': HOSTILE})}",
    "/ui/datasets/learner",
    "/ui/datasets/learner/quarantine",
    "/ui/datasets/learner/contracts",
]
BINS = {"rows": 1000, "edges": [10.0], "low": 0, "high": 20, "share": {"b0": 0.5, "b1": 0.5}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    bench = Bench(tmp_path_factory.mktemp("pages"))
    properties = {
        "a": {"type": "number", "maximum": 20, "x-assay": {"bins": BINS}},
        HOSTILE: {
            "type": "string",
            "description": HOSTILE,
            "x-assay": {"bins": {"rows": 9, "values": [HOSTILE], "share": {}}},
        },
    }
    bench.enforce("d", properties, description=HOSTILE)
    bench.contract("d", {"a": {"type": "number", "maximum": 30}})
    with bench.service() as service:
        service.send("/collect/learner", {"x": 1})
        service.send("/collect/d", {"a": 1})
        service.send("/collect/d", {"a": HOSTILE, HOSTILE: 7}, x_assay_source=HOSTILE)
        service.send("/collect/d", HOSTILE)
        service.flush()
        yield service


def shown(page: httpx.Response) -> str:
    """The text of a page, as a reader has it."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", page.text, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


class Tags(HTMLParser):
    """What is in a page that could run, or would be refused by its policy."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "script" and dict(attrs).get("src") != "/ui/static/live.js":
            self.bad.append(tag)
        if tag in {"style", "iframe", "object"} or "style" in names or any(name.startswith("on") for name in names):
            self.bad.append(f"{tag} {sorted(names)}")


@pytest.mark.parametrize("path", PATHS)
def test_a_page_carries_nothing_that_could_run(service: Service, path: str) -> None:
    page = service.client.get(path)
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    tags = Tags()
    tags.feed(page.text)
    assert tags.bad == []
    assert len(tags.ids) == len(set(tags.ids))
    assert HOSTILE not in page.text


@pytest.mark.parametrize(
    "path",
    [
        "/ui/datasets/d",
        "/ui/datasets/d/quarantine",
        "/ui/datasets/d/contracts/1",
        "/ui/datasets/d/diff?from=1&to=2",
        f"/ui/datasets/d/activate?{urlencode({'contract': 1, 'observe': HOSTILE})}",
    ],
)
def test_markup_in_names_and_events_is_shown_as_text(service: Service, path: str) -> None:
    page = service.client.get(path)
    assert '<script>alert("x")' in shown(page).replace('\\"', '"')


@pytest.mark.parametrize("name", ["style.css", "live.js", "icon.svg"])
def test_what_pages_load_is_served(service: Service, name: str) -> None:
    answer = service.client.get(f"/ui/static/{name}")
    assert answer.status_code == 200
    assert answer.content
    assert re.search(rf"/ui/static/{re.escape(name)}\"", service.client.get("/ui").text)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/nowhere", 404),
        ("/ui/static/../pages.py", 404),
        ("/ui/static/pages.py", 404),
        ("/ui/datasets/unknown", 404),
        ("/ui/datasets/No", 404),
        ("/ui/datasets/d/contracts/99", 400),
        ("/ui/datasets/d/diff?from=1", 400),
        ("/ui/datasets/d/diff?from=1&to=x", 400),
        ("/ui/datasets/d/activate?contract=1&mode=maybe", 400),
        ("/ui/datasets/d/activate?contract=1&observe=nothing", 400),
        ("/ui/datasets/d/activate?contract=2&observe=a", 400),
        ("/ui/datasets/d/activate?contract=1&observe=a&enforce=a", 400),
        ("/ui/datasets/learner/activate?contract=1&observe=x", 400),
        ("/ui/jobs/99", 404),
    ],
)
def test_what_is_not_there_is_said_on_a_page(service: Service, path: str, status: int) -> None:
    page = service.client.get(path)
    assert page.status_code == status
    assert "<h1>" in page.text


def test_the_overview_shows_each_dataset_and_what_to_do(service: Service) -> None:
    text = shown(service.client.get("/ui"))
    assert "2 of 3 events refused" in text
    assert "learning: it has no contract yet" in text
    assert "prometheus_url" in text


def test_an_empty_service_says_what_to_do_next(bench: Bench) -> None:
    with bench.service() as service:
        assert (
            f'curl -H \'Content-Type: application/json\' -d \'{{"fare": 12.5, "city": "Oslo"}}\' {service.settings.url}'
            in shown(service.client.get("/ui"))
        )


def test_a_dataset_shows_live_values_beside_its_profile(bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": "number", "x-assay": {"bins": BINS}}, "b": {"type": "string"}})
    with bench.service() as service:
        service.lines("/collect/d", *({"a": 15, "b": "x"} for _ in range(300)))
        text = shown(service.client.get("/ui/datasets/d"))
        assert "has moved" in text
        assert "10 to 20 50% 100% 300" in text
        assert "unknown" in text


def test_the_quarantine_marks_what_is_wrong(service: Service) -> None:
    page = service.client.get("/ui/datasets/d/quarantine")
    assert '<mark>7</mark> <span class="why">← Input should be a valid string' in page.text
    assert "Input should be a valid number" in shown(page)


# ---- forms


def form(service: Service, page: str, **fields: str) -> tuple[bytes, dict[str, str]]:
    """A form of a page with these fields: its body, and the headers that a browser sends with it."""
    answer = service.client.get(page)
    token = re.search(r'name="token" value="([0-9a-f]+)"', answer.text)
    assert token is not None
    cookie = re.search(rf"{COOKIE}=([^;]+)", answer.headers.get("set-cookie", ""))
    assert cookie is not None or COOKIE in service.client.http.cookies
    kept = cookie[1] if cookie is not None else service.client.http.cookies[COOKIE]
    headers = {**HTML_FORM, "Cookie": f"{COOKIE}={kept}", "Origin": "http://localhost:8080"}
    return urlencode({"token": token[1], **fields}).encode(), headers


def test_activate_observe_and_go_back(bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": "integer"}})
    bench.contract("d", {"a": {"type": "string"}})
    with bench.service() as service:
        for number, mode in (("2", "enforce"), ("2", "observe"), ("1", "enforce")):
            path = f"/ui/datasets/d/activate?contract={number}&mode={mode}"
            page = service.client.get(path)
            assert f"{'Enforce' if mode == 'enforce' else 'Observe'} d@{number}?" in shown(page)
            body, headers = form(service, path, contract=number, mode=mode)
            answer = service.client.post("/ui/datasets/d/activate", body, headers)
            assert answer.status_code == 303
            active = service.client.get("/contracts").json()["d"]
            assert (active["active"], active["mode"]) == (int(number), mode)
            assert f"In force: d@{number}" in shown(service.client.get(answer.headers["location"]))


def test_observe_one_field_and_enforce_it_again(bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": "integer"}, "o&o": {"type": "integer"}})
    bench.contract("d", {"a": {"type": "string"}})
    with bench.service() as service:
        assert 'aria-label="Observe o&amp;o"' in service.client.get("/ui/datasets/d").text
        path = "/ui/datasets/d/activate?contract=1&observe=o%26o"
        page = shown(service.client.get(path))
        assert "Observe o&o of d@1?" in page
        assert "assay activate d 1 --observe 'o&o'" in page
        body, headers = form(service, path, contract="1", observe="o&o")
        answer = service.client.post("/ui/datasets/d/activate", body, headers)
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/datasets/d?field=o%26o")
        assert bench.versions.active("d") == Active(1, fields={"o&o": "observe"})
        page = shown(service.client.get(answer.headers["location"]))
        assert "d @1 o&o only observed" in page
        assert re.search(r"o&o observed since (now|[0-9]+ s ago)", page)
        assert "o&o only observed" in shown(service.client.get("/ui"))
        assert "o&o is only observed since" in shown(service.client.get("/ui/datasets/d/contracts"))
        assert service.send("/collect/d", {"o&o": "x"}).json()["flagged"] == 1

        # What is thrown meanwhile stays: another mode, and another version.
        service.send("/contracts/d/activate", {"contract": 1, "mode": "observe"})
        body, headers = form(service, "/ui/datasets/d/activate?contract=1&enforce=a", contract="1", enforce="a")
        assert service.client.post("/ui/datasets/d/activate", body, headers).status_code == 303
        assert bench.versions.active("d") == Active(1, "observe", {"a": "enforce", "o&o": "observe"})
        assert "observed, but for a" in shown(service.client.get("/ui/datasets/d"))
        service.send("/contracts/d/activate", {"contract": 2})
        late = service.client.post("/ui/datasets/d/activate", body, headers)
        assert (late.status_code, "d@1 is not in force any more" in shown(late)) == (400, True)
        assert bench.versions.active("d") == Active(2)


def test_learn_a_dataset_and_try_the_version(bench: Bench) -> None:
    with bench.service() as service:
        service.lines("/collect/d", *({"a": i % 50} for i in range(1_000)))
        body, headers = form(service, "/ui/datasets/d")
        answer = service.client.post("/ui/datasets/d/learn", body, headers)
        assert answer.status_code == 303
        done = wait(service, answer.headers["location"])
        assert "d@1 was learned from 1,000 rows" in done
        body, headers = form(service, "/ui/datasets/d/activate?contract=1&mode=enforce", contract="1", mode="enforce")
        assert service.client.post("/ui/datasets/d/activate", body, headers).status_code == 303
        assert until(lambda: service.rows("SELECT count(*) FROM d") == [1_000])
        bench.contract("d", {"a": {"type": "integer", "maximum": 48}})
        body, headers = form(service, "/ui/datasets/d/contracts", contract="2")
        answer = service.client.post("/ui/datasets/d/try", body, headers)
        done = wait(service, answer.headers["location"])
        assert "d@2 would have refused 20 of 1,000 events" in done


def test_from_a_kind_of_refused_events_to_their_table(bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": "integer", "maximum": 10}})
    with bench.service() as service:
        service.lines("/collect/d", {"a": 20}, {"a": 30}, {"a": "no number"})
        service.flush()
        quarantine = "/ui/datasets/d/quarantine"
        kinds = re.findall(r'name="fingerprint" value="([0-9a-f]+)"', service.client.get(quarantine).text)
        assert len(kinds) == 2
        suggested = do(service, quarantine, "/ui/datasets/d/suggest", fingerprint=kinds[0])
        assert "d@2 lets in 2 of these 2 events" in suggested
        assert "Wider: all that was accepted still is" in suggested
        tried = do(service, quarantine, "/ui/datasets/d/replay", contract="2")
        assert "By d@2 2 events would pass, and 1 would stay. Nothing was moved." in tried
        assert "Enforce d@2…" in tried
        assert service.rows("SELECT count(*) FROM _quarantine WHERE replayed_at IS NULL") == [3]
        body, headers = form(service, "/ui/datasets/d/activate?contract=2&mode=enforce", contract="2", mode="enforce")
        assert service.client.post("/ui/datasets/d/activate", body, headers).status_code == 303
        assert "Replay: move these 2" in do(service, quarantine, "/ui/datasets/d/replay")
        replayed = do(service, quarantine, "/ui/datasets/d/replay", contract="2", dry_run="no")
        assert "2 events passed d@2 and are in their table; 1 stay in quarantine" in replayed
        assert service.rows("SELECT a FROM d ORDER BY a") == [20, 30]
        assert "2 events" not in shown(service.client.get(quarantine))


def test_what_no_contract_lets_in_is_said(bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": "integer"}})
    with bench.service() as service:
        service.send("/collect/d", "{broken")
        service.flush()
        quarantine = "/ui/datasets/d/quarantine"
        (kind,) = re.findall(r'name="fingerprint" value="([0-9a-f]+)"', service.client.get(quarantine).text)
        assert "No contract lets these 1 events in" in do(
            service, quarantine, "/ui/datasets/d/suggest", fingerprint=kind
        )
        unknown = do(service, quarantine, "/ui/datasets/d/suggest", fingerprint="0" * 16)
        assert "nothing of d waits in quarantine with the fingerprint" in unknown


def do(service: Service, page: str, path: str, **fields: str) -> str:
    """Send a form of a page, and wait for what the job says."""
    body, headers = form(service, page, **fields)
    answer = service.client.post(path, body, headers)
    assert answer.status_code == 303, answer.text
    return wait(service, answer.headers["location"])


def test_learning_from_nothing_says_why_not(bench: Bench) -> None:
    bench.contract("d", {"a": {"type": "integer"}})
    with bench.service() as service:
        body, headers = form(service, "/ui/datasets/d")
        answer = service.client.post("/ui/datasets/d/learn", body, headers)
        assert "nothing of it is stored" in wait(service, answer.headers["location"])


def wait(service: Service, path: str) -> str:
    """The page of a job that has ended."""
    deadline = time.monotonic() + 30
    while True:
        page = service.client.get(path)
        assert page.status_code == 200
        if "Refresh" not in page.headers:
            return shown(page)
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({"token": "0" * 64}, 403, id="a token of somebody else"),
        pytest.param({"token": ""}, 403, id="no token"),
        pytest.param(
            {"cookie": f"{COOKIE}=another-cookie-that-is-long-enough"}, 403, id="the cookie of another browser"
        ),
        pytest.param({"origin": "http://evil.example"}, 403, id="another origin"),
        pytest.param({"fetch": "cross-site"}, 403, id="another site"),
        pytest.param({"type": "application/json"}, 400, id="no form"),
        pytest.param({"more": "x" * 20_000}, 400, id="a form too large"),
        pytest.param({"contract": "9"}, 400, id="no such version"),
        pytest.param({"contract": "-1"}, 400, id="no number"),
    ],
)
def test_a_form_that_is_not_ours_changes_nothing(service: Service, change: dict[str, str], status: int) -> None:
    fields = {"contract": change.get("contract", "2"), "mode": "enforce"} | {
        k: v for k, v in change.items() if k in {"token", "more"}
    }
    body, headers = form(service, "/ui/datasets/d/activate?contract=2&mode=enforce", **fields)
    for key, header in (
        ("cookie", "Cookie"),
        ("origin", "Origin"),
        ("fetch", "Sec-Fetch-Site"),
        ("type", "Content-Type"),
    ):
        if key in change:
            headers[header] = change[key]
    assert service.client.post("/ui/datasets/d/activate", body, headers).status_code == status
    assert service.client.get("/contracts").json()["d"]["active"] == 1


def test_a_get_never_changes_anything(service: Service) -> None:
    for path in ("/ui/datasets/d/learn", "/ui/datasets/d/try"):
        assert service.client.get(path).status_code in {404, 405}
    service.client.get("/ui/datasets/d/activate?contract=2&mode=enforce")
    assert service.client.get("/contracts").json()["d"]["active"] == 1


# ---- a store that is held, and pages that are not installed


def test_the_quarantine_is_remembered_while_another_program_holds_the_store(bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": "integer"}})
    with bench.service() as service:
        service.send("/collect/d", {"a": "x"})
        service.flush()
        assert "1 event" in shown(service.client.get("/ui/datasets/d/quarantine"))
        with held(bench.store):
            time.sleep(15.1)  # until it is too old to be shown without asking
            page = service.client.get("/ui/datasets/d/quarantine")
            assert page.status_code == 200
            assert "is held by" in shown(page)
            assert "1 event" in shown(page)
            assert service.client.get("/ui/datasets/d").status_code == 200


def test_a_held_store_that_was_never_read_is_said(bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": "integer"}})
    with bench.service() as service, held(bench.store):
        page = service.client.get("/ui/datasets/d/quarantine")
        assert page.status_code == 503
        assert "is held by" in shown(page)


def test_a_service_without_the_extra_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "_PAGES_NEED", ("jinja2", "a_package_that_nobody_has"))
    with bench.service() as service:
        for path in ("/ui", "/ui/datasets/d"):
            answer = service.client.get(path)
            assert answer.status_code == 501
            assert "pip install 'assay[ui]'" in answer.json()["detail"]
        assert service.client.get("/readyz").status_code == 200
