"""Exit codes and messages of every command, used well and used wrongly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from assay.ingest.logs import LOG_HEADER, id_of
from tests.cli.conftest import ASSAY, Command
from tests.conftest import NUMBER, Bench, held

COMMANDS = ("init", "serve", "profile", "learn", "contracts", "activate", "rules", "flush", "doctor")


def test_help_names_every_command(assay: Command) -> None:
    ran = assay("--help")
    assert ran.code == 0
    assert not [name for name in COMMANDS if name not in ran.out]
    for name in COMMANDS:
        assert assay(name, "-h").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["nothing"], "nothing", id="an unknown command"),
        pytest.param(["contracts", "--nothing"], "--nothing", id="an unknown option"),
        pytest.param(["contracts", "more"], "more", id="an argument too many"),
        pytest.param(["activate"], "DATASET", id="an argument too few"),
        pytest.param(["activate", "d", "x"], "'N'", id="no number"),
        pytest.param(["activate", "d", "1", "--mode", "maybe"], "maybe", id="an unknown mode"),
        pytest.param(["activate", "nothing", "1"], '"nothing"', id="activate an unknown dataset"),
        pytest.param(["activate", "d", "7"], "no version 7", id="activate an unknown version"),
        pytest.param(["activate", "../d", "1"], "../d", id="activate what is no name"),
        pytest.param(["profile"], "DATASET|FILE", id="profile nothing"),
        pytest.param(["profile", "missing.csv"], "missing.csv", id="profile a file that is not there"),
        pytest.param(["profile", "nothing"], "s.duckdb", id="profile an unknown dataset"),
        pytest.param(["learn"], "default_dataset", id="learn without a name"),
        pytest.param(["learn", "nothing"], "s.duckdb", id="learn an unknown dataset"),
        pytest.param(["learn", "o'brien"], "o'brien", id="learn what is no name"),
        pytest.param(["learn", "d", "--budget", "2"], "budget", id="learn with a budget above 1"),
        pytest.param(["serve", "--port", "0"], "port", id="serve on no port"),
        pytest.param(["serve", "--port", "70000"], "port", id="serve on a port too high"),
        pytest.param(["serve", "--host", "0.0.0.0"], "without a key", id="serve to everybody"),
        pytest.param(["serve", "--host", "192.0.2.1"], "without a key", id="serve to others"),
        pytest.param(["init", "."], "assay.toml", id="init where a workspace is"),
        pytest.param(["rules", "--format", "helm"], "prometheus-rule or pod-monitor", id="rules in no format"),
        pytest.param(["rules", "-o", "x.yml"], "--format prometheus-rule", id="rules to a file without a format"),
        pytest.param(["rules", "--audit", "--format", "pod-monitor"], "audit", id="an audit in a format"),
    ],
)
def test_used_wrongly_is_2(assay: Command, bench: Bench, arguments: list[str], says: str) -> None:
    bench.contract("d", {"a": NUMBER})
    ran = assay(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


@pytest.mark.parametrize(
    ("toml", "environment", "says"),
    [
        pytest.param(b"store = ", {}, "assay.toml", id="no TOML"),
        pytest.param(b"store = '\xff'", {}, "assay.toml", id="not UTF-8"),
        pytest.param(b"stroe = 'x'", {}, "setting stroe", id="an unknown setting"),
        pytest.param(b"shutdown_s = 'x'", {}, "setting shutdown_s", id="a wrong type"),
        pytest.param(b"max_body_bytes = '1 parsec'", {}, "setting max_body_bytes", id="a wrong unit"),
        pytest.param(b"store = '~no_such_person/x'", {}, "no_such_person", id="a home that is none"),
        pytest.param(b"default_dataset = 'No'", {}, "setting default_dataset", id="what is no dataset's name"),
        pytest.param(b"", {"ASSAY_PORT": "x"}, "ASSAY_PORT", id="a wrong value in the environment"),
        pytest.param(b"", {"ASSAY_OPEN_DATASETS": "perhaps"}, "ASSAY_OPEN_DATASETS", id="neither true nor false"),
        pytest.param(b"", {"ASSAY_ALERT_WINDOWS": "5"}, "ASSAY_ALERT_WINDOWS", id="a duration without a unit"),
        pytest.param(b"", {"ASSAY_BUDGET": "nan"}, "ASSAY_BUDGET", id="a number that is none"),
    ],
)
@pytest.mark.parametrize("command", ["contracts", "serve", "doctor", "rules", "flush"])
def test_a_wrong_setting_is_2_and_named(
    assay: Command,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    toml: bytes,
    environment: dict[str, str],
    says: str,
) -> None:
    (bench.folder / "assay.toml").write_bytes(toml)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ran = assay(command)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("broken.csv", b"\x00\xff\x00", id="binary"),
        pytest.param("broken.parquet", b"no parquet", id="no Parquet"),
        pytest.param("broken.json", b"{", id="no JSON"),
        pytest.param("what.xyz", b"?", id="an unknown kind"),
        pytest.param("folder.csv", None, id="a folder"),
        pytest.param("o'brien.csv", b"a\n1\n", id="a quote in its name"),
    ],
)
def test_profiling_a_file_never_shows_a_traceback(
    assay: Command, bench: Bench, name: str, content: bytes | None
) -> None:
    if content is None:
        (bench.folder / name).mkdir()
    else:
        (bench.folder / name).write_bytes(content)
    ran = assay("profile", name)
    assert ran.code in {0, 1, 2, 3}
    assert "a fault of assay's own" not in ran.err
    assert (ran.code == 0) is (not ran.err)


def test_contracts_are_listed(assay: Command, bench: Bench) -> None:
    assert assay("contracts", "--json").document == []
    bench.contract("d", {"a": NUMBER})
    bench.contract("d", {"a": NUMBER, "b": NUMBER})
    bench.activate("d", 2, "observe")
    ran = assay("contracts", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.document == [
        {"dataset": "d", "version": 1, "fields": 1, "rows": 0, "mode": None},
        {"dataset": "d", "version": 2, "fields": 2, "rows": 0, "mode": "observe"},
    ]
    assert "d@2" in assay("contracts").out


@pytest.mark.parametrize("file", ["1.schema.json", "active.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"contract": 9}'])
def test_a_broken_contract_is_named(assay: Command, bench: Bench, file: str, content: bytes) -> None:
    bench.enforce("d", {"a": NUMBER})
    (bench.versions.root / "d" / file).write_bytes(content)
    for command in (["contracts"], ["rules"]):
        ran = assay(*command)
        assert ran.code in {0, 1, 2}
        if ran.code:
            assert "d" in ran.err
    assert assay("doctor", "--json").code == 3


def test_doctor_says_what_is_there(assay: Command, bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    assay("rules")
    ran = assay("doctor", "--json")
    found = {each["what"]: each for each in ran.document}
    assert (ran.code, ran.err) == (0, "")
    assert found["contracts"]["detail"] == "d@1"
    assert "none runs" in found["service"]["detail"]
    bench.store.write_bytes(b"no database" * 1000)
    ran = assay("doctor", "--json")
    assert ran.code == 3
    assert [each["what"] for each in ran.document if not each["ok"]] == ["store"]


def test_doctor_says_who_holds_the_store(assay: Command, bench: Bench) -> None:
    with held(bench.store) as holder:
        ran = assay("doctor")
    assert ran.code == 0
    assert f"process {holder.pid}" in ran.out


# ---- flush


def test_flush_moves_what_a_stopped_service_left(assay: Command, bench: Bench) -> None:
    bench.enforce("d", {"a": NUMBER})
    service = bench.service()
    service.client.open()
    service.flush()
    with held(bench.store):
        service.send("/collect/d", {"a": 5})
        service.client.close()
    assert bench.rows("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'd'") == [0]
    ran = assay("flush")
    assert (ran.code, ran.out) == (0, "")
    assert bench.rows("SELECT a FROM d") == [5]


def test_flush_of_a_held_store_is_3_after_a_while(
    assay: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.workspace._ASK_S", 0.2)
    with bench.service():
        pass
    with held(bench.store) as holder:
        ran = assay("flush")
    assert ran.code == 3
    assert f"process {holder.pid}" in ran.err


def test_flush_without_anything_is_well(assay: Command) -> None:
    ran = assay("flush")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_flush_of_a_damaged_store_is_3(assay: Command, bench: Bench) -> None:
    with bench.service():
        pass
    bench.store.write_bytes(b"no database" * 1000)
    ran = assay("flush")
    assert ran.code == 3
    assert "s.duckdb" in ran.err


# ---- pipes and faults


@pytest.mark.parametrize("arguments", [["contracts", "--json"], ["contracts"], ["doctor"]])
def test_a_reader_that_has_gone_is_no_error(bench: Bench, arguments: list[str]) -> None:
    for number in range(3):
        bench.contract(f"d{number}", {f"f{n}": NUMBER for n in range(50)})
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run([ASSAY, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_fault_shows_no_traceback(assay: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.contract.versions.Versions.datasets", lambda _: 1 / 0)
    ran = assay("contracts")
    assert ran.code == 3
    assert "ZeroDivisionError" in ran.err


def test_another_program_at_the_services_port_is_no_service(
    assay: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("ASSAY_PORT", str(server.getsockname()[1]))

        def answer() -> None:
            for _ in range(2):
                con, _ = server.accept()
                con.recv(1000)
                con.sendall(b"what?\r\n")
                con.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        ran = assay("doctor", "--json")
        found = {each["what"]: each["detail"] for each in json.loads(ran.out)}
        assert "none runs" in found["service"]
        assert assay("flush").code == 0
        thread.join(5)


def test_another_workspaces_service_is_not_asked(assay: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would flush and replay its own store, and say that all is well here."""
    bench.enforce("d", {"a": NUMBER})
    service = bench.service()
    service.client.open()
    service.flush()
    with held(bench.store):
        service.send("/collect/d", {"a": 5})
        assert service.client.get("/").headers[LOG_HEADER] == id_of(service.settings.log_path)
        service.client.close()

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header(LOG_HEADER, "another")
            self.end_headers()
            self.wfile.write(b'{"ok": true}')

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        monkeypatch.setenv("ASSAY_PORT", str(server.server_port))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ran = assay("doctor", "--json")
        found = {each["what"]: each for each in ran.document}
        assert (ran.code, found["service"]["ok"]) == (3, False)
        assert "another workspace" in found["service"]["detail"]
        assert assay("flush").code == 0
        server.shutdown()
    assert bench.rows("SELECT a FROM d") == [5]


def test_a_workspace_that_is_not_there_is_2(
    assay: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_WORKSPACE", str(tmp_path / "missing"))
    for command in ("contracts", "doctor", "flush"):
        ran = assay(command)
        assert (ran.code, ran.out) == (2, "")
        assert "ASSAY_WORKSPACE" in ran.err
        assert str(tmp_path / "missing") in ran.err


def test_the_template_is_the_checkouts_own(assay: Command, bench: Bench) -> None:
    folder = bench.folder / "new"
    ran = assay("init", str(folder))
    assert (ran.code, ran.out) == (0, "")
    root = Path(__file__).parents[2]
    own = [
        "app/__init__.py",
        "app/api.py",
        "app/profile.py",
        "promconfig/prometheus.yml",
        "promconfig/alertmanager.yml",
    ]
    for name in own:
        assert (folder / name).read_bytes() == (root / name).read_bytes(), name
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert made == {*own, "assay.toml"}
    assert (folder / "contracts").is_dir()
    assert assay("init", str(folder)).code == 2
    (bench.folder / "file").touch()
    assert assay("init", str(bench.folder / "file")).code in {2, 3}


def test_rules_says_what_is_to_be_said_of_exceptions(assay: Command, bench: Bench) -> None:
    bench.contract("d", {"a": NUMBER})
    entry = '[[alert_exceptions]]\nalert = "Silence"\ndataset = "d"\nreason = "r"\nuntil = 2026-01-31\nmute = true\n'
    (bench.folder / "assay.toml").write_text(entry)
    ran = assay("rules")
    assert ran.code == 0
    assert "Silence of d: the exception ended on 2026-01-31; the alert is in force again. Take it out\n" in ran.err
    (bench.folder / "assay.toml").write_text(entry.replace('"Silence"', '"Silent"'))
    ran = assay("rules")
    assert (ran.code, ran.out) == (2, "")
    assert "Silent of d: there is no such alert; take one of FieldDrift" in ran.err


def test_rules_as_a_resource_touch_nothing_else(assay: Command, bench: Bench) -> None:
    bench.contract("d", {"a": NUMBER})
    ran = assay("rules", "--format", "prometheus-rule")
    assert ran.code == 0
    assert "kind: PrometheusRule" in ran.out
    assert not (bench.folder / "promconfig").exists()
    written = assay("rules", "--format", "prometheus-rule", "-o", "made/rule.yaml")
    assert (written.code, written.out) == (0, "")
    assert (bench.folder / "made" / "rule.yaml").read_text() == ran.out
    document = assay("rules", "--format", "pod-monitor", "--json").document
    assert (document["format"], "kind: PodMonitor" in document["text"]) == ("pod-monitor", True)
    assert assay("rules", "--format", "pod-monitor", "-o", ".").code == 2


def test_alerts_link_to_where_people_reach_the_service(
    assay: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.contract("d", {"a": NUMBER})
    monkeypatch.setenv("ASSAY_PUBLIC_URL", "https://assay.example/")
    assert assay("rules").code == 0
    rules = (bench.folder / "promconfig" / "data_quality_rules.yml").read_text()
    assert "runbook_url: https://assay.example/ui/runbook#silence" in rules
    assert "127.0.0.1" not in rules


# ---- compact


def test_a_file_is_not_compacted(assay: Command) -> None:
    ran = assay("compact")
    assert (ran.code, ran.out) == (2, "")
    assert "is a file" in ran.err


@pytest.mark.lake
def test_a_lake_is_compacted(assay: Command, bench: Bench) -> None:
    pytest.importorskip("duckdb_extension_ducklake")
    (bench.folder / "assay.toml").write_text('store = "ducklake:sqlite:l.sqlite"\n')
    ran = assay("compact")
    assert (ran.code, ran.out) == (3, "")
    assert "no such file" in ran.err
    bench.enforce("d", {"a": NUMBER})
    with bench.service() as service:
        for number in range(2):
            service.send("/collect/d", {"a": number})
            service.flush()
    ran = assay("compact", "--json")
    assert ran.code == 0
    done = json.loads(ran.out)
    assert done["into"] < done["files"]
    assert (done["states"], done["deleted"]) == (0, 0)  # somebody may be reading them
