"""What `import assay` gives, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import assay
from assay.cli.output import app
from assay.cli.run import _COMMANDS, _MODULES

HEAVY = {
    "duckdb",
    "pyarrow",
    "pydantic",
    "fastapi",
    "numpy",
    "scipy",
    "prometheus_client",
    "structlog",
    "typer",
    "msgspec",
}


def modules_after(code: str) -> set[str]:
    """The modules that a fresh Python has loaded after some code, beside those that it begins with."""
    program = (
        f"import sys, json; before = set(sys.modules); {code}; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_the_public_names() -> None:
    assert assay.__all__ == [
        "AssayError",
        "Contract",
        "Profile",
        "__version__",
        "check",
        "connect",
        "diff",
        "export",
        "import_contract",
        "learn",
        "profile",
    ]
    assert dir(assay) == sorted(assay.__all__)
    for name in assay.__all__:
        assert getattr(assay, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = assay.nothing


def test_importing_it_loads_nothing_heavy() -> None:
    loaded = modules_after("import assay")
    assert not {name.partition(".")[0] for name in loaded} & HEAVY
    assert {name for name in loaded if name.startswith("assay")} == {"assay"}
    assert len(loaded) < 20


@pytest.mark.parametrize(
    "before",
    ["pass", "import assay.profile.document", "from assay.profile.learn import learn", "assay.Profile", "assay.learn"],
)
def test_profile_can_be_called_whatever_was_imported(before: str) -> None:
    code = f"import assay; {before}; print(assay.profile, callable(assay.profile), assay.profile('VALUES.csv').rows)"
    program = f"import pathlib, os, tempfile; os.chdir(tempfile.mkdtemp()); pathlib.Path('VALUES.csv').write_text('a\\n1\\n2\\n'); {code}"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("True 2\n")


@pytest.mark.parametrize("command", [["--help"], ["serve", "--help"]])
def test_the_command_line_answers_without_the_heavy_parts(command: list[str]) -> None:
    code = f"from assay.cli.run import run\ntry:\n run({command!r})\nexcept SystemExit: pass"
    program = f"import sys\n{code}\nprint('|'.join(sys.modules), file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stderr.split("|")}
    assert not loaded & {"duckdb", "pyarrow", "numpy", "fastapi", "scipy"}


@pytest.fixture
def checked(tmp_path: Path) -> tuple[Path, Path]:
    """A Parquet file of good rows, and its contract."""
    rows, contract = tmp_path / "rows.parquet", tmp_path / "contract.json"
    pq.write_table(pa.table({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5]}), rows)
    properties = {"a": {"type": "integer", "enum": [1, 2, 3]}, "b": {"type": "number", "minimum": 0, "maximum": 3}}
    contract.write_text(json.dumps({"type": "object", "properties": properties, "required": ["a", "b"]}))
    return rows, contract


def test_a_check_of_good_numbers_loads_little(checked: tuple[Path, Path]) -> None:
    rows, contract = checked
    loaded = modules_after(
        f"import assay; assert assay.check({str(rows)!r}, assay.Contract.load({str(contract)!r})).ok"
    )
    assert "pyarrow.parquet" in loaded
    assert not loaded & {"pandas", "pydantic", "duckdb", "polars", "pyarrow.compute", "asyncio"}


@pytest.mark.parametrize("command", ["check", "profile"])
def test_a_command_loads_no_other_and_no_pandas(command: str, checked: tuple[Path, Path]) -> None:
    rows, contract = checked
    arguments = [command, str(rows), *(["--contract", str(contract)] if command == "check" else [])]
    code = f"import os, sys, pyarrow as pa; from assay.cli import main; os._exit = lambda code: None; sys.argv[1:] = {arguments!r}\ntry:\n main()\nexcept SystemExit as end: assert not end.code, end\nassert pa.scalar(1).as_py()"
    loaded = modules_after(code)
    assert f"assay.cli.{command}" in loaded
    assert not loaded & {"pandas", "assay.workspace", "assay.settings", "assay.cli.serve", "rich.progress"}


def test_every_command_is_a_module_of_its_name() -> None:
    for name in _COMMANDS:
        import_module(f"assay.cli.{_MODULES.get(name, name)}")
    commands = {info.name or info.callback.__name__ for info in app.registered_commands if info.callback is not None}
    groups = {each.typer_instance.info.name for each in app.registered_groups if each.typer_instance is not None}
    assert set(_COMMANDS) == commands | groups
