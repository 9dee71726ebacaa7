"""What the tests from outside share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Service, find_prometheus


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service in a workspace of its own, not started. Whatever happens, it does not outlive the test."""
    with Service(tmp_path / "workspace") as service:
        yield service


@pytest.fixture
def prometheus_program() -> Path:
    program = find_prometheus()
    if program is None:
        pytest.skip("no Prometheus; bin/test.sh brings one")
    return program
