"""`assay diff`, and the gate that is made of it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import ASSAY, Command
from tests.conftest import Bench

INTEGER = {"type": "integer"}
HOW_TO = Path(__file__).parents[2] / "docs/how-to/gate-contract-changes.md"


@pytest.fixture
def narrowed(bench: Bench) -> Bench:
    """A dataset whose second version narrows the first."""
    bench.contract("d", {"a": INTEGER})
    bench.contract("d", {"a": INTEGER | {"maximum": 9}})
    return bench


def test_it_says_what_changes_and_shows_an_event(assay: Command, narrowed: Bench) -> None:
    ran = assay("diff", "d@1", "d@2")
    assert ran.code == 0
    assert ran.out.startswith("d@1 to d@2: narrows.")
    assert "10 was accepted and is refused now" in ran.out
    assert 'refused by d@2 (a: Input should be less than or equal to 9):\n{"a": 10}' in ran.out


def test_it_is_a_document_too_and_reads_files(assay: Command, narrowed: Bench) -> None:
    path = narrowed.versions.schema_path("d", 2)
    document = assay("diff", str(path), "d@1", "--json").document
    assert document["verdict"] == "widens"
    assert document["gained"]["event"] == {"a": 10}
    assert document["lost"] is None
    assert [field["field"] for field in document["fields"]] == ["a"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["d@1", "d@2", "--fail-on", "narrows"], 1, id="narrows"),
        pytest.param(["d@1", "d@2", "--fail-on", "widens"], 0, id="does not widen"),
        pytest.param(["d@1", "d@2", "--fail-on", "widens", "--fail-on", "narrows"], 1, id="either"),
        pytest.param(["d@1", "d@2", "--fail-on", "incomparable"], 0, id="not both"),
        pytest.param(["d@2", "d@1", "--fail-on", "narrows"], 0, id="the other way"),
        pytest.param(["d@1", "d@2", "--fail-on", "same"], 2, id="no gate"),
        pytest.param(["d@1", "d@3"], 2, id="no such version"),
        pytest.param(["d@1", "e@1"], 2, id="no such dataset"),
        pytest.param(["d@1", "d"], 2, id="no version named"),
        pytest.param(["d@1", "nothing.json"], 2, id="no such file"),
        pytest.param(["d@1", "assay.toml"], 1, id="no contract"),
    ],
)
def test_how_it_ends(assay: Command, narrowed: Bench, arguments: list[str], code: int) -> None:
    assert assay("diff", *arguments).code == code


def test_what_a_contract_holds_moves_no_cursor(assay: Command, bench: Bench) -> None:
    bench.contract("d", {"\x1b[2J": INTEGER})
    bench.contract("d", {"\x1b[2J": {"enum": ["\x1b[3J"]}})
    assert "\x1b" not in assay("diff", "d@1", "d@2").out


def test_the_gate_of_the_how_to(narrowed: Bench) -> None:
    script = re.search(r"```bash\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert script is not None
    gate = narrowed.folder / "gate.sh"
    gate.write_text(script[1])
    environment = {**os.environ, "PATH": f"{ASSAY.parent}:{os.environ['PATH']}"}

    def git(*arguments: str) -> None:
        given = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *given, *arguments], cwd=narrowed.folder, check=True, capture_output=True)

    def run() -> int:
        ran = subprocess.run(
            ["bash", gate, "HEAD"], cwd=narrowed.folder, env=environment, capture_output=True, check=False
        )
        assert b"Traceback" not in ran.stderr
        return ran.returncode

    narrowed.activate("d", 2)
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    assert run() == 0
    narrowed.activate("d", 1)
    assert run() == 0  # widens
    git("add", ".")
    git("commit", "-m", "second")
    narrowed.activate("d", 2)
    narrowed.enforce("new", {"a": INTEGER})
    assert run() == 1


def test_the_action_and_the_hooks_of_the_how_to_run(narrowed: Bench) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), flags=re.DOTALL)
    action, hooks = (yaml.safe_load(block) for block in blocks)
    steps = [step["run"] for step in action["jobs"]["diff"]["steps"] if "run" in step]
    assert steps[0] == "pip install assay"
    entries = [hook["entry"] for hook in hooks["repos"][0]["hooks"]]
    assert [step.split() for step in steps[1:]] == [
        ["assay", "contracts"],
        ["bash", "scripts/contract-gate.sh", '"origin/${{', "github.base_ref", '}}"'],
    ]
    assert entries == ["assay contracts", "bash scripts/contract-gate.sh HEAD"]
    for hook in hooks["repos"][0]["hooks"]:
        assert re.search(hook["files"], "contracts/d/active.json")
    environment = {**os.environ, "PATH": f"{ASSAY.parent}:{os.environ['PATH']}"}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            entries[0].split(), cwd=narrowed.folder, env=environment, capture_output=True, text=True, check=False
        )

    assert run().returncode == 0
    narrowed.versions.schema_path("d", 3).write_text('{"type": "object",\n "if": {}}')
    failed = run()
    assert failed.returncode == 1
    assert "contracts/d/3.schema.json:2:2: at /if: " in failed.stderr
