"""What the service says of `app/contracts.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.contract.document import Contract
from assay.contract.source import source
from assay.generated import sealed
from assay.service.rendered import RenderedModels
from tests.conftest import Bench, until


def models(*versions: tuple[str, int]) -> bytes:
    return sealed(
        source([Contract.parse({"type": "object"}, dataset=name, version=number) for name, number in versions])
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "contracts.py"
    found.write_bytes(models(("a", 1), ("b", 2)))
    return found


def test_what_is_as_it_was_rendered_is_not_spoken_of(path: Path) -> None:
    looked = RenderedModels(path)
    assert [looked.remark({"a": 1, "b": 2}) for _ in range(3)] == [None, None, None]


def test_an_edit_is_spoken_of_once_and_how_to_bring_it_in(path: Path) -> None:
    path.write_bytes(models(("a", 1)).replace(b"pass", b"x: int"))
    looked = RenderedModels(path)
    first, second, third = (looked.remark({"a": 1}) for _ in range(3))
    assert (first, third) == (None, None)
    assert second is not None
    assert "`assay import app/contracts.py:A --dataset a`" in second
    path.write_bytes(models(("a", 1)))
    assert [looked.remark({"a": 1}) for _ in range(3)] == [None, None, None]
    path.write_bytes(b"# mine")
    assert [looked.remark({"a": 1}) is None for _ in range(3)] == [True, False, True]


def test_a_file_that_is_behind_is_spoken_of_at_the_second_look(path: Path) -> None:
    looked = RenderedModels(path)
    assert looked.remark({"a": 2, "b": 2}) is None  # whoever activated it is about to write
    path.write_bytes(models(("a", 2), ("b", 2)))
    assert [looked.remark({"a": 2, "b": 2}) for _ in range(2)] == [None, None]
    said = [looked.remark({"a": 3, "b": 2}) for _ in range(3)]
    assert [each is not None for each in said] == [False, True, False]
    assert "`assay rules` is due" in str(said[1])


def test_what_is_not_rendered_yet_is_not_spoken_of(tmp_path: Path) -> None:
    looked = RenderedModels(tmp_path / "contracts.py")
    assert [looked.remark({"a": 1}) for _ in range(2)] == [None, None]


class Heard:
    """What a service has said so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._lines: list[str] = []

    def about(self, what: str) -> list[str]:
        self._lines += self._capsys.readouterr().err.splitlines()
        return [line for line in self._lines if what in line]


@pytest.fixture
def heard(capsys: pytest.CaptureFixture[str]) -> Heard:
    return Heard(capsys)


def test_the_service_says_it(bench: Bench, heard: Heard) -> None:
    bench.enforce("d", {"a": {"type": "integer"}})
    (bench.folder / "app").mkdir()
    (bench.folder / "app/contracts.py").write_bytes(models(("d", 1)) + b"# mine\n")
    with bench.service():
        assert until(lambda: heard.about("edited by hand"))
    (line,) = heard.about("edited by hand")
    assert "assay import app/contracts.py:D --dataset d" in line


def test_a_contract_that_is_none_is_told_with_its_line(bench: Bench, heard: Heard) -> None:
    bench.enforce("d", {"a": {"type": "integer"}})
    (bench.folder / "contracts/d/2.schema.json").write_text('{\n  "type": "object",\n  "patternProperties": {}\n}\n')
    bench.versions.active_path("d").write_text('{"contract": 2}')
    with bench.service():
        assert until(lambda: heard.about("not taken up"))
    assert "2.schema.json:3:3: at /patternProperties: " in heard.about("not taken up")[0]
