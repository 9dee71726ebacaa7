"""What `import assay` gives, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import assay

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
    return set(json.loads(run.stdout))


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
