"""The documents are held to the code: nothing undocumented, no link that leads nowhere, no path of somebody's machine."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client import CollectorRegistry
from pydantic.fields import FieldInfo

from assay.assemble import application
from assay.cli.output import app
from assay.cli.run import run
from assay.contract.document import Contract
from assay.contract.evidence import SPECIAL_BINS
from assay.ingest.record import Kind
from assay.monitor.alerts import alerts
from assay.monitor.metrics import Metrics
from assay.monitor.rule_settings import RuleSettings
from assay.monitor.rules import render_rules
from assay.settings import Settings
from assay.store.columns import META_COLUMNS
from assay.types import FORMATS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *(ROOT / "docs").rglob("*.md")]
)
CONTRACT = Contract.parse(
    {
        "type": "object",
        "properties": {
            "a": {"type": "number", "x-assay": {"bins": {"rows": 100, "edges": [0.5], "share": {"b0": 0.5, "b1": 0.5}}}}
        },
    },
    dataset="d",
    version=1,
)


@cache
def text(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def reference(name: str) -> str:
    return text(f"docs/reference/{name}.md")


def outside_code(page: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page, flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors that a page's headings give, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", outside_code(text(path)), flags=re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", heading) for heading in headings)
    return frozenset(re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in plain)


# ---- commands


def commands() -> Mapping[str, Any]:
    with pytest.raises(SystemExit):  # so every command has been added
        run(["--help"])
    group: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)  # `assay keys` is a group of its own
        found |= {name: command} if inner is None else {f"{name} {each}": inner[each] for each in inner}
    assert "learn" in found
    return found


def sections(page: str) -> dict[str, str]:
    """The text of each section of the second level, by its heading."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_and_option_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    found = commands()
    described = {}
    for heading, body in sections(reference("commands")).items():
        if heading.startswith("`assay "):
            _, first, *rest = heading.strip("`").split()
            described[first if first in found else f"{first} {' '.join(rest[:1])}"] = heading + body
    assert set(described) == set(found)
    for name, command in found.items():
        options = {option for each in command.params for option in each.opts if option.startswith("--")} - {"--help"}
        written = set(re.findall(r"^\| `(--[a-z-]+)", described[name], flags=re.MULTILINE))
        assert written == options, f"assay {name}"
        for argument in (each for each in command.params if not each.opts[0].startswith("-")):
            metavar = (argument.metavar or argument.name.upper()).strip("[]")
            assert metavar in described[name].splitlines()[0], f"assay {name}: {metavar}"


def test_what_init_makes_is_documented() -> None:
    section = sections(reference("commands"))["`assay init [DIR]`"]
    template = ROOT / "src/assay/cli/workspace"
    made = {path.relative_to(template).parts[0] for path in template.rglob("*.*") if path.suffix != ".pyc"}
    assert [name for name in made if f"`{name}" not in section] == []
    assert ("It does not write `promconfig/" in section) == ("promconfig" not in made)


def test_every_script_is_documented() -> None:
    page = reference("commands")
    scripts = [path for path in (ROOT / "bin").glob("*.sh") if not path.name.startswith("_")]
    assert [path.name for path in scripts if f"| `bin/{path.name}` |" not in page] == []


# ---- settings


def shown(value: object) -> str:
    """A default as the page writes it: as TOML, sizes with their unit."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{json.dumps(list(value))}`"
    if isinstance(value, Path | str):
        return f'`"{value}"`'
    if isinstance(value, int) and value >= 1 << 20:
        unit, name = (1 << 30, "GiB") if value >= 1 << 30 else (1 << 20, "MiB")
        return f'`"{value // unit}{name}"`'
    return f"`{value}`"


def settings() -> Iterator[tuple[str, FieldInfo]]:
    return ((name, field) for name, field in Settings.model_fields.items() if not field.exclude)


@pytest.mark.parametrize(("name", "field"), [pytest.param(*each, id=each[0]) for each in settings()])
def test_a_setting_is_documented(name: str, field: FieldInfo) -> None:
    row = f"| `{name}` | `ASSAY_{name.upper()}` | {shown(field.default)} | {field.description} |"
    assert row in reference("settings").splitlines(), f"docs/reference/settings.md: add the row\n{row}"


def test_no_other_setting_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `ASSAY_", reference("settings"), flags=re.MULTILINE)
    assert rows == [name for name, _ in settings()]


# ---- metrics, rules, alerts


def exposed() -> set[str]:
    metrics = Metrics(CollectorRegistry())
    metrics.watch(CONTRACT, "enforce")
    metrics.gauges(lambda: dict.fromkeys(gauges(), 0.0))
    metrics.last_event("d", 1.0)
    body, _ = metrics.exposition(None)
    names = re.findall(r"^# TYPE (\w+) ", body.decode(), flags=re.MULTILINE)
    return {name for name in names if not name.endswith("_created")}


def gauges() -> list[str]:
    """The gauges that are read at each scrape, without their prefix."""
    from assay.monitor.metrics import _GAUGES

    return list(_GAUGES)


def test_every_metric_is_documented() -> None:
    written = set(re.findall(r"^\| `(assay_\w+)` \|", reference("metrics"), flags=re.MULTILINE))
    assert written == exposed()


def rules() -> str:
    return render_rules([CONTRACT], RuleSettings()).decode()


def test_every_recorded_series_is_documented() -> None:
    records = set(re.findall(r"record: '?(assay:[\w:]+)", rules()))
    written = set(re.findall(r"`(assay:[\w:<>]+)`", reference("rules")))
    assert {re.sub(r":n[0-9]+[smhd]$", ":n<w>", record) for record in records} - {
        "assay:violation_share:own"
    } <= written


def test_every_alert_is_documented_and_has_its_section_in_the_runbook() -> None:
    names = [alert.name for alert in alerts(RuleSettings(), profiled=True)]
    rows = re.findall(r"^\| \[`(\w+)`]\([^)]*\) \| (\w+) \|", reference("rules"), flags=re.MULTILINE)
    assert sorted(rows) == sorted((each.name, each.severity) for each in alerts(RuleSettings(), profiled=True))
    links = re.findall(r"runbook_url: (\S+)", rules())
    assert len(links) == len(names)
    for link in links:
        page, _, anchor = link.partition("#")
        assert page in {"http://localhost:8080/ui/runbook", "docs/how-to/runbook.md"}
        assert anchor in anchors(ROOT / "docs/how-to/runbook.md"), link


# ---- HTTP, contract, store


def openapi(workspace: Path) -> Any:
    """What a service says of itself: its routes are there once it runs."""

    async def ask() -> Any:
        app = application(Settings(root=workspace, store=Path("assay.duckdb")))
        async with app.router.lifespan_context(app):
            return app.openapi()

    return asyncio.run(ask())


def test_every_call_is_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_WORKSPACE", str(tmp_path))
    paths = openapi(tmp_path)["paths"]
    calls = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    written = set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", reference("http"), flags=re.MULTILINE))
    assert written == calls


def test_every_keyword_format_and_bin_is_documented() -> None:
    from assay.contract.document import _KEYWORDS, ANNOTATIONS

    page = reference("contract")
    wanted = [*_KEYWORDS, *ANNOTATIONS, *FORMATS, *SPECIAL_BINS]
    assert [name for name in wanted if f"`{name}`" not in page] == []


def test_the_tables_of_the_store_and_the_log_are_documented() -> None:
    from assay.ingest.log import _SCHEMA
    from assay.store.embedded import _TABLES

    page = reference("store")
    tables = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", _SCHEMA + _TABLES)
    columns = [name for name, _ in META_COLUMNS]
    assert [name for name in [*tables, *columns] if f"`{name}`" not in page] == []
    for kind in Kind:
        assert f"| {kind.value} | {kind.name.lower()} |" in page


# ---- links and paths


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"]\(([^)\s]+)\)", outside_code(text(page))):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("page", [*PAGES, ROOT / "LICENSE"], ids=lambda page: str(page.relative_to(ROOT)))
def test_no_path_of_a_machine(page: Path) -> None:
    found = re.findall(r"(?<![\w.~$}:/])/(?:root|home|Users|mnt|var)/\S*", text(page))
    assert [each for each in found if not each.startswith("/home/you/")] == []
    assert str(ROOT) not in text(page)
