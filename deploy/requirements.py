"""What a project and some of its extras need: for a layer of an image that has all of it but the project.

    python requirements.py pyproject.toml constraints.txt ui,lake

writes `requirements.txt`, as pyproject.toml has them, and `pins.txt`: the constraints, but for what one of these extras pins itself.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def needed(project: Mapping[str, Any], asked: Sequence[str]) -> Iterator[str]:
    """The requirements of a project and of these extras; an extra that names others of the project stands for theirs."""
    yield from project["dependencies"]
    extras = project["optional-dependencies"]
    for extra in asked:
        if extra not in extras:
            raise SystemExit(f"there is no extra {extra}; there are {', '.join(extras)}")
        for requirement in extras[extra]:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
            if own:
                yield from needed({**project, "dependencies": ()}, own[1].split(","))
            else:
                yield requirement


def pins(constraints: Sequence[str], requirements: Sequence[str]) -> list[str]:
    """The constraints without those of packages that a requirement pins."""
    pinned = {requirement.partition("==")[0].strip() for requirement in requirements if "==" in requirement}
    return [line for line in constraints if line.partition("==")[0].strip() not in pinned]


def main() -> None:
    """Write both."""
    path, constraints, asked = sys.argv[1:]
    project = tomllib.loads(Path(path).read_text(encoding="utf-8"))["project"]
    requirements = list(dict.fromkeys(needed(project, [each for each in asked.split(",") if each])))
    Path("requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    kept = pins(Path(constraints).read_text(encoding="utf-8").splitlines(), requirements)
    Path("pins.txt").write_text("\n".join(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
