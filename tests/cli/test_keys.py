"""`assay keys`, and what else a person meets of keys: serve, doctor, the commands that ask a service."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import ASSAY, Command, free_port, serving
from tests.cli.test_serve import answers
from tests.conftest import NUMBER, Bench, until


def test_a_key_is_printed_once_and_kept_nowhere(assay: Command, bench: Bench) -> None:
    ran = assay("keys", "create", "checkout", "--scope", "read", "--scope", "collect")
    assert ran.code == 0
    key = ran.out.strip()
    assert key.startswith("assay_")
    assert "only time" in ran.err
    assert "from now on" in ran.err
    assert key not in ran.err
    assert stat.S_IMODE(bench.keys.path.stat().st_mode) == 0o600
    kept = [path.read_bytes() for path in bench.folder.rglob("*") if path.is_file()]
    assert not [data for data in kept if key.rpartition("_")[2].encode() in data]

    listed = assay("keys", "list")
    assert "checkout" in listed.out
    assert "collect, read" in listed.out
    assert key.split("_")[1] in listed.out
    second = assay("keys", "create", "checkout", "--scope", "collect", "--json")
    assert "from now on" not in second.err
    assert key.split("_")[1] in second.err  # the twin that may be revoked
    assert second.document["key"].startswith(f"assay_{second.document['id']}_")

    assert assay("keys", "revoke", "checkout").code == 2
    gone = assay("keys", "revoke", second.document["id"], "--json")
    assert gone.document["id"] == second.document["id"]
    assert [each["id"] for each in assay("keys", "list", "--json").document] == [key.split("_")[1]]
    assert [each.get("revoked_at") is None for each in assay("keys", "list", "--all", "--json").document] == [
        True,
        False,
    ]
    last = assay("keys", "revoke", "checkout")
    assert last.code == 0
    assert "last one" in last.err
    assert str(bench.keys.path) in assay("keys", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["create"], 2, "NAME", id="no name"),
        pytest.param(["create", "a"], 2, "scope is missing", id="no scope"),
        pytest.param(["create", "a", "--scope", "root"], 2, "root is no scope", id="an unknown scope"),
        pytest.param(["create", "a b", "--scope", "read"], 2, '"a b"', id="no name for a key"),
        pytest.param(["revoke", "a"], 2, 'no key has the name or id "a"', id="revoke an unknown one"),
        pytest.param(["nothing"], 2, "nothing", id="an unknown command"),
        pytest.param(["create", "a", "--scope", "read", "--store", "/dev/null/s"], 3, "/dev/null/s.keys", id="nowhere"),
    ],
)
def test_used_wrongly(assay: Command, bench: Bench, arguments: list[str], code: int, says: str) -> None:
    ran = assay("keys", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert not bench.keys.path.exists()


@pytest.mark.parametrize("command", [["list"], ["create", "a", "--scope", "read"], ["revoke", "a"]], ids=lambda c: c[0])
def test_a_damaged_file_is_3_and_named(assay: Command, bench: Bench, command: list[str]) -> None:
    bench.keys.path.write_text("{")
    for ran in (assay("keys", *command), assay("serve"), assay("doctor")):
        assert ran.code == 3
        assert f"{bench.keys.path} is damaged" in ran.out + ran.err
    assert bench.keys.path.read_text() == "{"


@pytest.mark.parametrize(
    ("prepare", "code", "says"),
    [
        pytest.param("", 0, "none: programs on this machine may", id="no keys"),
        pytest.param("host", 3, "nothing may listen on 0.0.0.0", id="no keys, for others"),
        pytest.param("host insecure", 0, "whoever reaches 0.0.0.0 may collect", id="insecure"),
        pytest.param("key", 0, "1 in", id="a key"),
        pytest.param("key host", 0, "ASSAY_API_KEY is not set", id="a key, and none for commands"),
        pytest.param("key send", 0, "ASSAY_API_KEY is set", id="a key for commands"),
        pytest.param("key readable", 3, "chmod 600", id="others may read it"),
        pytest.param("key writable", 3, "chmod 600", id="others may write it"),
        pytest.param("key revoked", 3, "nobody may anything", id="all revoked"),
    ],
)
def test_doctor_looks_at_keys(
    assay: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch, prepare: str, code: int, says: str
) -> None:
    words = prepare.split()
    if "key" in words:
        bench.key("read", name="a")
    for word, name, value in (("host", "HOST", "0.0.0.0"), ("insecure", "INSECURE", "1"), ("send", "API_KEY", "x")):
        if word in words:
            monkeypatch.setenv(f"ASSAY_{name}", value)
    if "revoked" in words:
        bench.keys.revoke("a")
    for word, mode in (("readable", 0o644), ("writable", 0o666)):
        if word in words:
            bench.keys.path.chmod(mode)
    ran = assay("doctor", "--json")
    (finding,) = [each for each in ran.document if each["what"] == "keys"]
    assert finding["ok"] == (code == 0)
    assert says in finding["detail"]
    assert ran.code == code


def test_it_listens_to_others_once_there_is_a_key(bench: Bench) -> None:
    port = str(free_port())
    arguments = ["--host", "0.0.0.0", "--port", port]
    for prepare in (lambda: None, lambda: (bench.key("read", name="a"), bench.keys.revoke("a"))):
        prepare()
        ran = subprocess.run([ASSAY, "serve", *arguments], capture_output=True, text=True, check=False, timeout=30)
        assert ran.returncode == 2
        assert "assay keys create" in ran.stderr
    bench.key("collect")
    with serving(*arguments) as process:
        assert until(lambda: answers(int(port)), 20)
        process.terminate()
        assert process.wait(20) == 0


def test_commands_send_the_key_that_they_have(bench: Bench, tmp_path: Path) -> None:
    """`flush` and `replay` ask the running service; a key that may not, and none, are told apart from no service."""
    bench.enforce("d", {"a": NUMBER})
    admin, reader = bench.key("admin"), bench.key("read")
    port = str(free_port())

    def ran(*arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ASSAY_PORT": port} | ({"ASSAY_API_KEY": key} if key else {})
        return subprocess.run(
            [ASSAY, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    with serving("--port", port) as process:
        assert until(lambda: answers(int(port)), 20)
        assert ran("flush", key=admin).returncode == 0
        replayed = ran("replay", "d", "--json", key=admin)
        assert json.loads(replayed.stdout)["accepted"] == 0
        for key, status in (("", 401), ("assay_aaaaaaaa_x", 401), (reader, 403)):
            refused = ran("flush", key=key)
            assert refused.returncode == 3
            assert f"answered {status}" in refused.stderr
            assert "ASSAY_API_KEY" in refused.stderr
        wrong = ran("flush", key="two words")
        assert wrong.returncode == 2
        assert "api_key" in wrong.stderr
        assert "two words" not in wrong.stderr
        process.terminate()
        process.wait(20)


def test_a_key_is_in_no_list_of_processes(bench: Bench) -> None:
    """What learns and activates is started with the settings in its arguments, which everybody on a machine can read."""
    from assay.assemble import _errand_command

    service = bench.service(api_key="assay_secret")
    try:
        assert service.settings.api_key is not None
        assert "assay_secret" not in " ".join(_errand_command(service.settings)) + repr(service.settings)
    finally:
        service.client.open()
        service.client.close()
