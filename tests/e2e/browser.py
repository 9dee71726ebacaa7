"""A real browser for tests: the system's Chromium, headless, and axe-core to judge what it shows."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["browsing", "find_chromium", "serious"]

# Nothing of it asks anybody else for anything. The sandbox would need rights that root in a container does not give.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def find_chromium() -> str | None:
    """The program, where there is one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser. Without one a test is skipped, but not in CI: there bin/test.sh installs it."""
    program = find_chromium()
    if program is None:
        assert os.environ.get("CI") != "true", "no Chromium, which bin/test.sh installs in CI"
        pytest.skip("no Chromium here")
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS, env={**os.environ, "HOME": home})
        try:
            yield browser
        finally:
            browser.close()


def serious(page: Page) -> list[str]:
    """What axe-core finds wrong with a page: serious or critical, each with the first element that has it."""
    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
    ]
