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
