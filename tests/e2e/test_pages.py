"""The pages in a real browser, over a real service: one night's story by clicks alone, every page on every screen."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.e2e.browser import browsing, serious
from tests.e2e.harness import NDJSON, Load, Prometheus, Service, lines, until

pytestmark = pytest.mark.e2e

#: Widths in CSS pixels, from a small telephone to 4K.
WIDTHS = (360, 390, 1440, 3840)
SETTINGS = {"alert_hold": "0s"}
ENVIRONMENT = {"ASSAY_ALERT_WINDOWS": "1m"}
WAIT_MS = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


def rides(count: int, seed: int, *, cents: bool = False) -> bytes:
    """Taxi rides as lines of JSON; with `cents` the fare is in another unit."""
    rng = random.Random(seed)
    factor = 100 if cents else 1
    return lines(
        [
            {
                "fare": round(rng.gammavariate(4, 5), 2) * factor,
                "city": rng.choice(["Oslo", "Bergen", "Turku"]),
                "passengers": rng.randint(1, 4),
                "shared": rng.random() < 0.3,
            }
            for _ in range(count)
        ]
    )


class Complaints:
    """What a browser complains of while it shows pages: scripts that fail, and what the policy forbids."""

    def __init__(self, page: Page) -> None:
        self.heard: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.heard.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.heard.append(message.text)


def test_the_night_story(tmp_path: Path, browser: Browser, prometheus_program: Path) -> None:
    """Learn, activate, an alert, its page, what was refused, a wider contract, a dry run, activate, replay, all clear; and back."""
    with Service(tmp_path / "workspace", environment=ENVIRONMENT, **SETTINGS) as service:
        text = (service.root / "assay.toml").read_text()
        prometheus = Prometheus(prometheus_program, service)
        (service.root / "assay.toml").write_text(f'{text}prometheus_url = "{prometheus.url}"\n')
        service.start()
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(WAIT_MS)
        complaints = Complaints(page)

        # A dataset that learns; its contract by two clicks.
        page.goto(f"{service.url}/ui")
        expect(page.locator("main")).to_contain_text("There is no dataset yet")
        service.post("/collect/rides", rides(12_000, 1), NDJSON)
        page.reload()
        page.get_by_role("link", name="Learn its contract").click()
        page.get_by_role("button", name="Learn its contract").click()
        page.get_by_role("link", name="Enforce rides@1").click()
        page.get_by_role("button", name="Yes, enforce rides@1").click()
        expect(page.get_by_role("status")).to_contain_text("In force: rides@1")

        with prometheus:
            kind = ["clean"]

            def step(_: int) -> None:
                service.post("/collect/rides", rides(50, random.randrange(10**6), cents=kind[0] == "cents"), NDJSON)

            with Load(1, step, per_second=4):
                page.goto(f"{service.url}/ui")
                expect(page.locator("#alerts")).to_contain_text("Nothing fires", timeout=WAIT_MS)

                # The alert comes to the open page by itself, and leads to the field.
                kind[0] = "cents"
                alert = page.locator("#alerts li.bad", has_text="RejectRate")
                expect(alert).to_be_visible(timeout=40_000)
                page.get_by_role("link", name="Open rides: fare").first.click()
                first = page.locator("article").first
                expect(first).to_contain_text("fare")
                expect(first).to_contain_text("has moved", timeout=40_000)

                # What was refused, and why.
                page.get_by_role("navigation", name="rides").get_by_role("link", name="Quarantine").click()
                expect(page.locator("mark").first).to_have_text(re.compile(r"^\d+(\.\d+)?$"))
                expect(page.locator(".why").first).to_contain_text("less than or equal")

            # The unit is right, it turns out: a contract that lets these events in, tried on them, then put in force.
            service.flush()
            page.get_by_role("button", name="Suggest a contract").first.click()
            expect(page.get_by_role("status")).to_contain_text("rides@2 lets in", timeout=WAIT_MS)
            expect(page.locator("main")).to_contain_text("Wider: all that was accepted still is")
            page.get_by_role("button", name="Dry run by rides@2").click()
            expect(page.get_by_role("status")).to_contain_text("would pass", timeout=WAIT_MS)
            expect(page.get_by_role("status")).to_contain_text("Nothing was moved")
            page.get_by_role("link", name="Enforce rides@2").click()
            page.get_by_role("button", name="Yes, enforce rides@2").click()
            expect(page.get_by_role("status")).to_contain_text("In force: rides@2")
            assert service.enforced("rides") == 2

            # What was refused goes where it belongs.
            page.get_by_role("link", name="Look at the quarantine").click()
            page.get_by_role("button", name="See what would pass now").click()
            page.get_by_role("button", name="Replay: move these").click(timeout=WAIT_MS)
            expect(page.get_by_role("status")).to_contain_text("are in their table", timeout=WAIT_MS)
            page.get_by_role("link", name="Back to the quarantine").click()
            expect(page.locator("main")).to_contain_text("Nothing of rides is in quarantine")
            ((waiting,),) = service.rows("SELECT count(*) FROM _quarantine WHERE replayed_at IS NULL")
            assert waiting == 0
            ((highest,),) = service.rows("SELECT max(fare) FROM rides")
            (ride,) = map(json.loads, rides(1, 2).splitlines())
            assert service.post("/collect/rides", lines([{**ride, "fare": highest}]), NDJSON).document["ok"]

            # All clear, once the minute that the rules look at has passed; and the way back.
            kind[0] = "clean"
            with Load(1, step, per_second=4):
                assert until(
                    lambda: not {each.name for each in prometheus.firing()} & {"RejectRate", "FieldDrift"}, 120
                )
                page.goto(f"{service.url}/ui")
                expect(page.locator("#alerts")).not_to_contain_text("RejectRate", timeout=WAIT_MS)
            page.goto(f"{service.url}/ui/datasets/rides/contracts")
            page.get_by_role("link", name="Enforce version 1").click()
            page.get_by_role("button", name="Yes, enforce rides@1").click()
            expect(page.get_by_role("status")).to_contain_text("In force: rides@1")
        assert complaints.heard == []


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with datasets in every state: one that is learning, one in force that refused something and observes a field."""
    with Service(tmp_path_factory.mktemp("filled") / "workspace") as service:
        service.start()
        service.post("/collect/rides", rides(12_000, 1), NDJSON)
        assert service.run("learn", "rides", "--activate").returncode == 0
        assert service.run("activate", "rides", "1", "--observe", "shared").returncode == 0
        service.add("rides", {**service.versions.load("rides", 1).schema, "title": "another"})
        assert until(lambda: service.enforced("rides") == 1, 10)
        service.post("/collect/rides", rides(500, 2), NDJSON)
        service.post("/collect/rides", rides(50, 3, cents=True), NDJSON)
        service.post("/collect/rides", b'{"fare": "<img src=x onerror=alert(1)>", "city": "<b>Oslo</b>"}')
        service.post("/collect/shop", b'{"price": 1}')
        service.flush()
        yield service


PATHS = [
    "/ui",
    "/ui/runbook",
    "/ui/nowhere",
    "/ui/datasets/rides",
    "/ui/datasets/rides?field=fare",
    "/ui/datasets/rides/quarantine",
    "/ui/datasets/rides/contracts",
    "/ui/datasets/rides/contracts/1",
    "/ui/datasets/rides/diff?from=1&to=2",
    "/ui/datasets/rides/activate?contract=2&mode=observe",
    "/ui/datasets/rides/activate?contract=1&observe=fare",
    "/ui/datasets/shop",
    "/ui/datasets/shop/quarantine",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_on_every_screen(filled: Service, browser: Browser, scheme: str) -> None:
    """axe-core finds nothing serious, nothing is cut off at the side, and the browser has nothing to complain of."""
    found: list[str] = []
    for width in WIDTHS:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        complaints = Complaints(page)
        for path in PATHS:
            answer = page.goto(filled.url + path)
            assert answer is not None
            assert answer.status == (404 if path == "/ui/nowhere" else 200)
            excess = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if excess > 0:
                found.append(f"{path} at {width}: {excess} px too wide")
            if width in {390, 1440}:
                found += [f"{path} at {width}: {each}" for each in serious(page)]
        found += [each for each in complaints.heard if "404" not in each]
        context.close()
    assert found == []


def test_without_a_mouse(filled: Service, browser: Browser) -> None:
    """The keyboard reaches the content first, then every link and button, and each can be seen to have it."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{filled.url}/ui/datasets/rides/contracts")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Fields")
    wanted = page.locator("main a, main button, main select").count()
    reached = {page.evaluate("document.activeElement.outerHTML")}
    for _ in range(wanted + 20):
        page.keyboard.press("Tab")
        if page.evaluate("document.querySelector('main').contains(document.activeElement)"):
            style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none"
            reached.add(page.evaluate("document.activeElement.outerHTML"))
    every = page.evaluate(
        "Array.from(document.querySelectorAll('main a, main button:not([hidden]), main select'), each => each.outerHTML)"
    )
    assert set(every) <= reached


def test_without_javascript(filled: Service, browser: Browser) -> None:
    """Everything that a person does works."""
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{filled.url}/ui/datasets/rides/contracts")
    page.get_by_role("link", name="Observe version 2").click()
    page.get_by_role("button", name="Yes, observe rides@2").click()
    expect(page.get_by_role("status")).to_contain_text("observed: nothing is refused")
    page.get_by_role("link", name="Enforce version 1").click()
    page.get_by_role("button", name="Yes, enforce rides@1").click()
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"In force: rides@1,\s+enforced"))
    # One field; and the way back.
    page.get_by_role("link", name="Fields").click()
    page.get_by_role("link", name="Observe fare").click()
    page.get_by_role("button", name="Yes, observe fare of rides@1").click()
    expect(page.locator("h1")).to_contain_text("2 fields only observed")
    expect(page.locator("article").first).to_contain_text("observed since")
    (ride,) = map(json.loads, rides(1, 4).splitlines())
    assert filled.post("/collect/rides", lines([{**ride, "fare": "free"}]), NDJSON).document["flagged"] == 1
    page.get_by_role("link", name="Contracts").click()
    apart = page.get_by_role("list", name="Fields with a mode of their own")
    expect(apart).to_contain_text(re.compile(r"fare is only observed\s+since"))
    apart.get_by_role("link", name="Enforce fare").click()
    page.get_by_role("button", name="Yes, enforce fare of rides@1").click()
    expect(page.locator("h1")).to_contain_text("shared only observed")


def test_updates_leave_what_a_person_does_alone(filled: Service, browser: Browser) -> None:
    """Figures come by themselves; an opened table stays open; and a button stops them."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{filled.url}/ui/datasets/rides")
    table = page.locator("details").first
    table.locator("summary").click()
    page.locator("h1").click()
    as_of = page.locator("#as-of")
    before = as_of.inner_text()
    filled.post("/collect/rides", rides(100, 9), NDJSON)
    expect(as_of).not_to_have_text(before, timeout=12_000)
    assert table.get_attribute("open") is not None
    page.get_by_role("button", name="Pause updates").click()
    page.locator("h1").click()
    paused = as_of.inner_text()
    page.wait_for_timeout(6_000)
    assert as_of.inner_text() == paused
