"""What is in deploy/, read."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from assay.settings import Settings

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = DEPLOY / "compose" / "compose.yaml"
OVERLAYS: Final = ("single", "lake")

#: Settings of a lake, which is specified and not there yet: none is excused once it is.
AWAITED: Final = (
    frozenset()
    if "lake_data" in Settings.model_fields
    else frozenset({"lake_data", "lake_interval", "lake_s3_endpoint", "lake_s3_region"})
)


def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its arguments; lines that go on are one."""
    text = re.sub(r"^#.*\n", "", dockerfile(), flags=re.MULTILINE)
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in joined.splitlines() if line]


def environment() -> dict[str, str]:
    """What the image sets of assay's settings."""
    return {
        name: value
        for instruction, arguments in instructions()
        if instruction == "ENV"
        for name, value in (pair.split("=", 1) for pair in arguments.split())
        if name.startswith("ASSAY_")
    }


def compose() -> dict[str, Any]:
    document = yaml.safe_load(COMPOSE.read_text())
    assert isinstance(document, dict)
    return document


@cache
def _built(overlay: str) -> str:
    program = shutil.which("kustomize")
    command = [program, "build"] if program else ["kubectl", "kustomize"]
    if program is None and shutil.which("kubectl") is None:
        pytest.skip("neither kubectl nor kustomize is on PATH")
    done = subprocess.run(
        [*command, str(DEPLOY / "kubernetes" / "overlays" / overlay)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(overlay: str) -> list[dict[str, Any]]:
    """The resources of an overlay, as Kustomize builds them."""
    return list(yaml.safe_load_all(_built(overlay)))


def of_kind(overlay: str, kind: str) -> list[dict[str, Any]]:
    return [each for each in manifests(overlay) if each["kind"] == kind]
