"""`assay export` and `assay import`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.conftest import Bench

PROPERTIES: dict[str, Any] = {
    "salary": {
        "type": "number",
        "minimum": 20,
        "title": "Pay",
        "x-assay": {
            "rows": 100,
            "refusals": {"minimum": 1e-5},
            "bins": {"rows": 100, "edges": [0.5], "share": {"b0": 0.5, "b1": 0.5}},
        },
    },
    "name": {"type": "string", "x-assay": {"rows": 100, "refusals": {"type": 1e-6}}},
}


@pytest.fixture
def flights(bench: Bench) -> Bench:
    """A dataset with an active contract that was learned."""
    bench.enforce("flights", PROPERTIES, required=["salary"], **{"x-assay": {"rows": 100, "dataset": "flights"}})
    return bench


@pytest.mark.parametrize("format_", ["odcs", "jsonschema"])
def test_what_is_exported_is_imported_again(assay: Command, flights: Bench, format_: str) -> None:
    assert (
        assay("export", "flights", "--format", format_, "-o", f"out.{'yaml' if format_ == 'odcs' else 'json'}").code
        == 0
    )
    path = next(flights.folder.glob("out.*"))
    ran = assay("import", str(path), "--dataset", "flights")
    assert ran.code == 0
    assert "flights@2 is a proposal; `assay activate flights 2` enforces it" in ran.err
    assert "beside flights@1: same\n" in ran.err
    assert assay("diff", "flights@1", "flights@2", "--json").document["verdict"] == "same"


@pytest.mark.parametrize("format_", ["odcs", "jsonschema", "pydantic", "sql", "pandera"])
def test_each_format_is_printed(assay: Command, flights: Bench, format_: str) -> None:
    plain = assay("export", "flights@1", "--format", format_)
    assert plain.code == 0
    assert "salary" in plain.out
    assert plain.err == ""
    document = assay("export", "flights", "--format", format_, "--json").document
    assert document["text"] == plain.out
    assert document["left_out"] == []


def test_what_is_not_carried_over_is_said(assay: Command, bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": "number", "multipleOf": 0.1}})
    ran = assay("export", "d", "--format", "pandera")
    assert ran.code == 0
    assert "not carried over: a: multipleOf" in ran.err
    assert assay("export", "d", "--format", "pandera", "--json").document["left_out"][0]["rule"] == "multipleOf"


def test_a_hand_edit_of_the_rendered_models_comes_in(assay: Command, flights: Bench) -> None:
    assert assay("rules").code == 0
    models = flights.folder / "app/contracts.py"
    text = models.read_text()
    assert "Number(ge=20)" in text
    models.write_text(text.replace("Number(ge=20)", "Number(ge=30)"))
    refused = assay("rules")
    assert refused.code == 1
    assert "`assay import app/contracts.py:Flights --dataset flights` makes a version of the change" in refused.err
    ran = assay("import", "app/contracts.py:Flights", "--dataset", "flights", "--json")
    assert ran.code == 0
    assert "beside flights@1: narrows; `assay diff flights@1 flights@2` says how" in ran.err
    assert "`assay activate flights 2 --force` enforces it" in ran.err
    assert ran.document["verdict"] == "narrows"
    salary, name = (ran.document["schema"]["properties"][each] for each in ("salary", "name"))
    assert salary["minimum"] == 30
    assert salary["title"] == "Pay"
    assert salary["x-assay"] == {"rows": 100, "bins": PROPERTIES["salary"]["x-assay"]["bins"]}  # what was measured
    assert name["x-assay"] == PROPERTIES["name"]["x-assay"]  # nothing changed
    assert ran.document["schema"]["x-assay"] == {"rows": 100, "dataset": "flights"}
    assert assay("diff", "flights@1", "flights@2", "--json").document["verdict"] == "narrows"
    assert assay("activate", "flights", "2", "--force").code == 0
    assert "Number(ge=30)" in models.read_text()
    assert assay("rules").code == 0


def test_a_validator_is_named(assay: Command, bench: Bench) -> None:
    (bench.folder / "models.py").write_text(
        "from pydantic import BaseModel, field_validator\n\n"
        "class Order(BaseModel):\n    total: float\n\n"
        "    @field_validator('total')\n    @classmethod\n    def whole_cents(cls, value):\n        return value\n"
    )
    ran = assay("import", "models.py:Order", "--dataset", "orders")
    assert ran.code == 0
    assert "not carried over: total: the validator Order.whole_cents: code is no rule of JSON Schema" in ran.err
    assert ran.out.splitlines()[0] == "orders@1"


@pytest.mark.parametrize(
    ("name", "text", "code", "said"),
    [
        pytest.param("a.json", '{"type": "object", "properties": {"a": {"uniqueItems": true}}}', 1, 'a.json:1:41: at /properties/a/uniqueItems: assay does not enforce the keyword "uniqueItems"', id="keyword"),
        pytest.param("a.json", '{"type": "object",\n "patternProperties": {}}', 1, "a.json:2:2: at /patternProperties", id="line"),
        pytest.param("a.json", '{"type": "object",}', 1, "a.json:1:19: at /: not JSON", id="no JSON"),
        pytest.param("a.yaml", "a: [", 1, "a.yaml:1:5: at /: not YAML", id="no YAML"),
        pytest.param("a.yaml", "kind: DataContract\napiVersion: v3.2.0\nid: a\nversion: '1'\nschema:\n- name: d\n  properties:\n  - name: a\n    logicalType: vector\n", 1, "a.yaml:9:5: at /schema/0/properties/0/logicalType", id="ODCS"),
        pytest.param("a.py", "class A: pass", 2, "name the class too, as a.py:CLASS", id="no class named"),
        pytest.param("a.py:A", "class A: pass", 2, "a.py:A is no Pydantic class", id="no Pydantic class"),
        pytest.param("a.py:B", "from pydantic import BaseModel\nclass A(BaseModel): pass", 2, "has no class B; its Pydantic classes are A", id="no such class"),
        pytest.param("a.py:A", "1 +", 2, "a.py:1: this is no Python", id="no Python"),
        pytest.param("a.py:A", "1 / 0", 2, "a.py cannot be imported: ZeroDivisionError: division by zero", id="fails"),
        pytest.param("b.json", None, 2, "b.json cannot be read", id="not there"),
        pytest.param("b.py:A", None, 2, "b.py is not there", id="no such module"),
    ],
)  # fmt: skip
def test_what_cannot_come_in(assay: Command, bench: Bench, name: str, text: str | None, code: int, said: str) -> None:
    if text is not None:
        (bench.folder / name.partition(":")[0]).write_text(text)
    ran = assay("import", name, "--dataset", "d")
    assert ran.code == code
    assert said in ran.err
    assert bench.versions.numbers("d") == []


def test_how_it_is_used_wrongly(assay: Command, flights: Bench) -> None:
    (flights.folder / "a.json").write_text('{"type": "object"}')
    assert assay("import", "a.json", "--dataset", "No").code == 2
    assert assay("export", "nothing").code == 2
    assert assay("export", "flights", "--format", "xml").code == 2
    assert (
        "one of odcs, jsonschema, pydantic, sql, pandera is expected"
        in assay("export", "flights", "--format", "xml").err
    )
    assert assay("export", "flights", "-o", "contracts").code == 2


def test_a_dataset_without_an_active_contract_is_exported_by_version(assay: Command, bench: Bench) -> None:
    bench.contract("d", {"a": {"type": "integer"}})
    ran = assay("export", "d")
    assert (ran.code, ran.err) == (2, "assay: d has no active contract: name a version of it, such as d@1\n")
    assert assay("export", "d@1").code == 0


def test_a_module_is_found_by_name(assay: Command, bench: Bench) -> None:
    (bench.folder / "shop_models.py").write_text(
        "from pydantic import BaseModel\nclass Order(BaseModel):\n    total: float\n"
    )
    ran = assay("import", "shop_models:Order", "--dataset", "orders", "--json")
    assert ran.document["schema"]["properties"] == {"total": {"type": "number"}}


def test_exporting_loads_no_library_that_it_does_not_need(flights: Bench) -> None:
    code = "import sys\nfrom assay.cli.run import run\ntry:\n run(['export', 'flights', '--format', 'jsonschema'])\nexcept SystemExit: pass\nprint('|'.join(sys.modules), file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stderr.split("|")}
    assert json.loads(ran.stdout)["type"] == "object"
    assert not loaded & {"duckdb", "pandera", "polars", "open_data_contract_standard", "datamodel_code_generator"}
    assert Path("contracts").is_dir()


def test_a_version_that_is_broken_by_hand_is_told_with_its_line(assay: Command, flights: Bench) -> None:
    flights.versions.schema_path("flights", 2).write_text(
        '{\n  "type": "object",\n  "properties": {\n    "salary": {"type": "number", "minimum": "20"}\n  }\n}\n'
    )
    (flights.folder / "rows.csv").write_text("salary\n20\n")
    said = "assay: contracts/flights/2.schema.json:4:34: at /properties/salary/minimum: a number is expected\n"
    for command in (
        ["activate", "flights", "2"],
        ["check", "rows.csv", "--contract", "flights@2"],
        ["check", "rows.csv", "--contract", "contracts/flights/2.schema.json"],
        ["diff", "flights@1", "flights@2"],
        ["export", "flights@2"],
        ["contracts"],
    ):
        ran = assay(*command)
        assert (ran.code, ran.err) == (1, said), command
    assert "flights@1  2 fields" in ran.out  # the others are listed all the same
    assert "flights@2  no contract" in ran.out
    active = flights.versions.active_path("flights")
    active.write_text('{"contract": 1,\n "mode": "ignore"}')
    assert "contracts/flights/active.json:2:2: at /mode: " in assay("contracts").err
