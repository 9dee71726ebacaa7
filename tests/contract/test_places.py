"""Where in a text a pointer leads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.contract.document import Contract
from assay.contract.places import place_of
from assay.errors import NotASchema

TEXT = """\
{
  "type": "object",
  "properties": {
    "a/b": {"type": "integer", "minimum": 1},
    "c~d": {"enum": [1,
                     2]},
    "e": {"$ref": "#/$defs/e"},
    "twice": {"x": 1}, "twice": {"x": 2}
  },
  "$defs": {
    "e": {
      "pattern": "("
    },
    "loop": {"$ref": "#/$defs/loop"}
  }
}
"""


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        ("", (1, 1)),
        ("/type", (2, 3)),
        ("/properties/a~1b/minimum", (4, 32)),
        ("/properties/c~0d/enum/1", (6, 22)),
        ("/properties/e/pattern", (12, 7)),
        ("/properties/twice/x", (8, 34)),
        ("/properties/nothing/minimum", (3, 3)),
        ("/properties/c~0d/enum/9", (5, 13)),
        ("/$defs/loop/minimum", (14, 5)),
        ("/nothing", (1, 1)),
    ],
)
def test_a_place(pointer: str, place: tuple[int, int]) -> None:
    assert place_of(TEXT, pointer) == place


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=12,
)


@given(st.data())
def test_every_place_is_found(data: st.DataObject) -> None:
    document: Any = data.draw(JSON)
    indent = data.draw(st.sampled_from((None, 1, 4)))
    text = json.dumps(document, indent=indent, ensure_ascii=data.draw(st.booleans()))
    pointer, value, name = "", document, None
    while isinstance(value, dict | list) and value and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        escaped = str(name).replace("~", "~0").replace("/", "~1")
        pointer, value = f"{pointer}/{escaped}", value[name]
    line, column = place_of(text, pointer)
    # Lines end where an editor ends them, at a line feed: JSON has no other in its texts.
    rest = text.split("\n")[line - 1][column - 1 :]
    shown = json.JSONDecoder().raw_decode("\n".join([rest, *text.split("\n")[line:]]))[0]
    assert shown == (name if isinstance(name, str) else value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('{\n  "type": "object",\n}', ":3:1: at /: not JSON: ", id="a comma too many"),
        pytest.param('{"type": "object",\n "properties": {"a": {\n  "minimum": 3,\n  "maximum": 1}}}', ":3:3: at /properties/a/minimum: ", id="swapped"),
        pytest.param('{"type": "object",\n "properties": {"a": {"type":\n  "int"}}}', ":2:23: at /properties/a/type: ", id="a type"),
        pytest.param("[]", ":1:1: at /: a contract is a JSON object", id="no object"),
    ],
)  # fmt: skip
def test_a_file_is_told_with_its_line(tmp_path: Any, text: str, said: str) -> None:
    path = tmp_path / "1.schema.json"
    path.write_text(text)
    with pytest.raises(NotASchema) as caught:
        Contract.load(path)
    assert str(caught.value).startswith(f"{path}{said}")
    assert caught.value.place is not None


def test_a_path_is_shown_from_here(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotASchema, match=r"^a\.json:1:1: at /type: "):
        Contract.load(tmp_path / "a.json")
