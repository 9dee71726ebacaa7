import json

import pytest

from assay.cli.run import run as run_command
from tests.conftest import Bench


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        run_command(["quarantine", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().out


def test_it_shows_what_was_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.enforce("d", {"a": {"type": "integer"}})
    with bench.service() as service:
        for value in ("x", "y"):
            service.send("/collect/d", {"a": value, "\x1b[2J": 1}, X_Assay_Source="till")
    monkeypatch.setenv("ASSAY_WORKSPACE", str(bench.folder))
    monkeypatch.setenv("ASSAY_PORT", "1")  # nobody is there
    code, text = run(capsys, "d")
    assert code == 0
    assert text.count("till  a: Input should be a valid integer") == 2
    assert text.index('"y"') < text.index('"x"')
    code, text = run(capsys, "d", "--group")
    assert text.startswith("2 from till, ")
    assert "\x1b" not in text
    _, text = run(capsys, "d", "--json", "--limit", "1")
    document = json.loads(text)
    assert len(document["items"]) == 1
    assert document["next"] == document["items"][0]["quarantine_id"]
    assert run(capsys, "other") == (0, "nothing of other is in quarantine\n")
    assert run(capsys, "No")[0] == 2


def test_it_proposes_what_lets_them_in(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.enforce("d", {"a": {"type": "integer", "maximum": 1}})
    with bench.service() as service:
        service.lines("/collect/d", {"a": 7}, {"a": 9}, b"{\x1b")
    monkeypatch.setenv("ASSAY_WORKSPACE", str(bench.folder))
    monkeypatch.setenv("ASSAY_PORT", "1")  # nobody is there
    code, text = run(capsys, "d", "--suggest")
    assert code == 0
    for said in (
        "a: integer, up to 1",
        "becomes integer, up to 9",
        "lets in 2 of 2",
        "no contract lets in 1: not JSON",
    ):
        assert said in text
    assert "\x1b" not in text
    document = json.loads(run(capsys, "d", "--suggest", "--json")[1])
    assert (document["contract"], document["written"], document["is_new"]) == (1, 2, False)
    assert document["items"][0]["suggestion"]["changes"][0]["field"] == "a"
    assert document["lets_in"] == [document["items"][0]["fingerprint"]]
    bench.activate("d", 2)
    _replay(capsys)
    assert "(replayed 20" in run(capsys, "d")[1]
    assert run(capsys, "d", "--fingerprint", "x")[0] == 2
    assert run(capsys, "d", "--suggest", "--fingerprint", "x")[0] == 2


def _replay(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command(["replay", "d"])
    capsys.readouterr()
