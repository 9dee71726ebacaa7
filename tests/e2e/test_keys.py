"""Who may, from outside: keys made by the command, a service that listens to others, a browser, a Prometheus."""

from __future__ import annotations

import contextlib
import http.server
import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browser import browsing, serious
from tests.e2e.harness import NDJSON, Client, Prometheus, Service, key, lines, own_address, say, until

pytestmark = pytest.mark.e2e

EVENT = b'{"a": 1}'
SCHEMA = {"type": "object", "properties": {"a": {"type": "number"}}}
WIDER = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "string"}}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


def collect(service: Service, api_key: str = "", *, host: str = "127.0.0.1") -> int:
    with Client(service.port, api_key=api_key, host=host) as client:
        return client.ask("POST", "/collect/d", EVENT).status


def test_a_service_for_others(tmp_path: Path) -> None:
    with Service(tmp_path / "workspace", host="0.0.0.0") as service:
        service.enforce("d", SCHEMA)
        service.begin()
        assert until(lambda: service._process is not None and service._process.poll() is not None, 20)
        assert service.terminate() == 2
        assert "assay keys create" in service.said

        sender = key(service, "sender", "collect")
        keys = service.root / "store.duckdb.keys"
        assert stat.S_IMODE(keys.stat().st_mode) == 0o600
        service.start()
        address = own_address()
        assert collect(service, host=address) == 401
        assert collect(service, sender, host=address) == 200
        assert collect(service, sender) == 200

        # A change holds within 2 s: a new key, a revoked one. Events that were sent with either are the same sender's.
        began = time.monotonic()
        second = key(service, "sender", "collect")
        made = time.monotonic()
        assert until(lambda: collect(service, second) == 200, 2)
        say(f"a key made in {made - began:.2f} s was known {time.monotonic() - made:.2f} s later")
        revoked = service.run("keys", "revoke", sender.split("_")[1])
        assert revoked.returncode == 0
        began = time.monotonic()
        assert until(lambda: collect(service, sender) == 401, 2)
        say(f"a revoked key was turned away after {time.monotonic() - began:.2f} s")
        assert collect(service, second) == 200

        refused = service.run("flush")
        assert refused.returncode == 3
        assert "ASSAY_API_KEY" in refused.stderr
        service._environment["ASSAY_API_KEY"] = admin = key(service, "ops", "admin")
        assert until(lambda: service.run("flush").returncode == 0, 5, every_s=0.5)
        assert service.rows("SELECT DISTINCT _source FROM d") == [("sender",)]
        assert admin not in service.said + sender

        # kill -9, and what was known is known.
        service.kill()
        service.start()
        assert [collect(service, each) for each in ("", sender, second)] == [401, 401, 200]
        assert service.terminate() == 0


def test_prometheus_with_a_key(tmp_path: Path, prometheus_program: Path) -> None:
    with Service(tmp_path / "workspace", environment={"ASSAY_METRICS_KEY": "1"}) as service:
        credentials = tmp_path / "prometheus.key"
        credentials.write_text(key(service, "prometheus", "read") + "\n")
        service.start()
        with Client(service.port) as client:
            assert client.ask("GET", "/metrics").status == 401

        def up() -> list[str]:
            return [each["value"][1] for each in prometheus.get("/api/v1/query?query=up")["result"]]

        prometheus = Prometheus(prometheus_program, service, credentials=credentials)
        with prometheus:
            assert until(lambda: up() == ["1"], 15)
            assert service.run("keys", "revoke", "prometheus").returncode == 0
            assert until(lambda: up() == ["0"], 15)


@contextlib.contextmanager
def elsewhere(target: str) -> Iterator[str]:
    """A page of another site, with a link to ours and a form that tries to act there: where it is."""
    text = (
        f'<title>elsewhere</title><a href="{target}">an alert</a>'
        f'<form method="post" action="{target.partition("/ui")[0]}/ui/datasets/d/activate">'
        '<input name="contract" value="2"><button>win a prize</button></form>'
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            # By name: to a browser localhost and 127.0.0.1 are two sites.
            yield f"http://localhost:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def test_a_person_logs_in_looks_and_does(tmp_path: Path, browser: Browser) -> None:
    """A key that reads, once; an admin key where something is done; a link from elsewhere; a revoked key ends it all."""
    with Service(tmp_path / "workspace") as service:
        service.enforce("d", SCHEMA)
        service.add("d", WIDER)
        reader, admin = key(service, "ray", "read"), key(service, "ada", "admin")
        service.start()
        with Client(service.port, api_key=admin) as client:
            client.ask("POST", "/collect/d", lines([{"a": n} for n in range(100)]), NDJSON)
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.set_default_timeout(20_000)

        # To a page, by way of the login; by keyboard alone.
        page.goto(f"{service.url}/ui/datasets/d/contracts")
        expect(page).to_have_title(re.compile("Log in"))
        assert serious(page) == []
        field = page.get_by_label("A key with the scope read or admin")
        field.focus()
        page.keyboard.type("assay_wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("no key of this service")
        expect(field).to_be_focused()
        page.keyboard.type(reader)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{service.url}/ui/datasets/d/contracts")
        expect(page.locator(".top")).to_contain_text("ray")
        (cookie,) = [each for each in context.cookies() if each["name"] == "assay_session"]
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", False)
        assert page.evaluate("document.cookie") == ""

        # The confirmation asks for an admin key; one that reads only is told so, and nothing is lost.
        page.get_by_role("link", name="Observe version 2").click()
        page.get_by_label("A key with the scope admin").fill(reader)
        page.get_by_role("button", name="Yes, observe d@2").click()
        expect(page.get_by_role("alert")).to_contain_text("has not the scope admin")
        assert serious(page) == []
        page.get_by_label("A key with the scope admin").fill(admin)
        page.get_by_role("button", name="Observe d@2").click()
        expect(page.get_by_role("status")).to_contain_text("In force: d@2")
        expect(page.get_by_role("status")).to_contain_text("observed")
        past = service.run("contracts", "--history")
        assert "by ada" in past.stdout
        # What was lent is not kept: the next thing is asked for again.
        page.get_by_role("button", name="Learn").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Learn the next version of d")
        assert serious(page) == []
        for width in (360, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0

        # A link from another site arrives where it leads, without another login; a form from there does not.
        with elsewhere(f"{service.url}/ui/datasets/d?field=a") as other:
            page.goto(other)
            page.get_by_role("link", name="an alert").click()
            expect(page).to_have_url(f"{service.url}/ui/datasets/d?field=a")
            expect(page.get_by_role("heading", level=1)).to_contain_text("d")
            page.goto(other)
            page.get_by_role("button", name="win a prize").click()
            expect(page.locator("body")).to_contain_text("a page of another origin may not send here")

        # The page that is open goes to the login by itself when the key is revoked, and so does every other.
        page.goto(f"{service.url}/ui/datasets/d")
        assert service.run("keys", "revoke", "ray").returncode == 0
        began = time.monotonic()
        assert until(lambda: context.request.get(f"{service.url}/ui", max_redirects=0).status == 303, 2)
        say(f"the session was over after {time.monotonic() - began:.2f} s")
        expect(page).to_have_title(re.compile("Log in"), timeout=12_000)

        # In again with another key, and out.
        page.get_by_label("A key with the scope read or admin").fill(admin)
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(f"{service.url}/ui/datasets/d")
        page.goto(f"{service.url}/ui/datasets/d/activate?contract=1&mode=enforce")
        expect(page.get_by_label("A key with the scope admin")).to_have_count(0)
        page.get_by_role("button", name="Yes, enforce d@1").click()
        expect(page.get_by_role("status")).to_contain_text("In force: d@1")
        page.get_by_role("button", name="Log out").click()
        expect(page).to_have_title(re.compile("Log in"))
        page.go_back()
        page.reload()
        expect(page).to_have_title(re.compile("Log in"))
        context.close()
        assert service.terminate() == 0
