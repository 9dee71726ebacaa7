"""The seal of generated files."""

from __future__ import annotations

import pytest

from assay.generated import is_edited, sealed

FILE = sealed(b"a = 1\nb = 2\n")


@pytest.mark.parametrize(
    ("data", "edited"),
    [
        pytest.param(FILE, False, id="as it was made"),
        pytest.param(sealed(b"no newline"), False, id="made of a text without its last newline"),
        pytest.param(sealed(b""), False, id="made of nothing"),
        pytest.param(FILE.replace(b"\n", b"\r\n"), False, id="with Windows' line ends"),
        pytest.param(FILE.rstrip(b"\n"), False, id="without its last newline"),
        pytest.param(FILE.replace(b"1", b"7"), True, id="a character changed"),
        pytest.param(FILE.replace(b"a = 1\n", b""), True, id="a line removed"),
        pytest.param(FILE + b"more = 1\n", True, id="a line added behind the seal"),
        pytest.param(b"# mine\n" + FILE, True, id="a line added before"),
        pytest.param(b"a = 1\nb = 2\n", True, id="without a seal"),
        pytest.param(b"", True, id="empty"),
        pytest.param(FILE.replace(b"seal ", b"seal 0"), True, id="another seal"),
    ],
)
def test_is_edited(data: bytes, *, edited: bool) -> None:
    assert is_edited(data) is edited


def test_the_same_bytes_get_the_same_seal() -> None:
    assert sealed(b"x\n") == sealed(b"x\n")
    assert sealed(b"x\n") == sealed(b"x")
