"""A folder of contracts: numbered files that never change, and one beside them that says which is enforced.

contracts/<dataset>/<n>.schema.json    version n
contracts/<dataset>/<n>.profile.json   its evidence, where it was learned
contracts/<dataset>/active.json        {"contract": n, "mode": "enforce", "fields": {"salary": "observe"}}
contracts/<dataset>/history.ndjson     who changed that, and when (see `assay.contract.history`)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from assay.contract.document import DATASET_NAME, Contract, no_json, shown_path
from assay.contract.places import place_of
from assay.errors import NotASchema, UnknownDataset, UsageError
from assay.files import write_atomic, write_new

__all__ = ["Active", "Mode", "Versions", "is_dataset_name", "parse_active", "switched", "tops"]

Mode: TypeAlias = Literal["enforce", "observe"]

_SCHEMA: Final = re.compile(r"([1-9][0-9]{0,8})\.schema\.json")
_NAME: Final = re.compile(DATASET_NAME)


def is_dataset_name(name: str) -> bool:
    """Whether `name` may name a dataset."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Active:
    """Which version of a dataset is enforced, and how: the content of `active.json`."""

    contract: int
    mode: Mode = "enforce"
    fields: Mapping[str, Mode] = field(default_factory=dict)

    def mode_of(self, label: str, top: str) -> Mode:
        """The mode of a field: its own, else that of `top`, the event's own field that it is in, else the contract's."""
        return self.fields.get(label, self.fields.get(top, self.mode))

    def to_json(self) -> str:
        """As the file holds it."""
        document: dict[str, Any] = {"contract": self.contract, "mode": self.mode}
        if self.fields:
            document["fields"] = dict(sorted(self.fields.items()))
        return json.dumps(document, ensure_ascii=False) + "\n"


class Versions:
    """The contracts of a workspace, in the folder `root`. Holds no state: every call reads the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def datasets(self) -> list[str]:
        """Every dataset that has a version, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(
            path.name for path in self.root.iterdir() if is_dataset_name(path.name) and self.numbers(path.name)
        )

    def numbers(self, dataset: str) -> list[int]:
        """The versions of a dataset, ascending."""
        folder = self.root / dataset
        if not folder.is_dir():
            return []
        matches = (_SCHEMA.fullmatch(path.name) for path in folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def load(self, dataset: str, number: int) -> Contract:
        """Version `number` of a dataset.

        Raises:
            UnknownDataset: the dataset has no version at all.
            UsageError: it has others, but not this one.
            NotASchema: the file is not a contract.
        """
        path = self.schema_path(dataset, number)
        if not path.is_file():
            numbers = self.numbers(dataset)
            if not numbers:
                raise UnknownDataset(dataset)
            raise UsageError(f"{dataset} has no version {number}; it has {', '.join(map(str, numbers))}")
        return Contract.load(path, dataset=dataset, version=number)

    def schema_path(self, dataset: str, number: int) -> Path:
        """Where version `number` is, or would be."""
        return self.root / dataset / f"{number}.schema.json"

    def profile_path(self, dataset: str, number: int) -> Path:
        """Where the evidence of version `number` is, or would be."""
        return self.root / dataset / f"{number}.profile.json"

    def add(self, contract: Contract, profile: bytes | None = None) -> Contract:
        """Write `contract` as the next version of its dataset, its evidence first; the contract with its number."""
        data = contract.to_json().encode()
        number = (self.numbers(contract.dataset) or [0])[-1] + 1
        while True:
            if profile is not None:
                write_atomic(self.profile_path(contract.dataset, number), profile)
            try:
                write_new(self.schema_path(contract.dataset, number), data)
            except FileExistsError:  # somebody else took the number: it is theirs, and so is its profile
                number += 1
                continue
            return Contract(contract.dataset, number, contract.schema, contract.root)

    def active(self, dataset: str) -> Active | None:
        """What is enforced, or None while the dataset is learning.

        Raises:
            NotASchema: `active.json` is not what it should be.
        """
        path = self.active_path(dataset)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise NotASchema("", f"cannot be read: {error}", where=shown_path(path)) from error
        try:
            return parse_active(text, shown_path(path))
        except NotASchema as error:
            raise error if error.place is not None else error.placed(place_of(text, error.pointer)) from error

    def active_path(self, dataset: str) -> Path:
        """Where it says which version is enforced."""
        return self.root / dataset / "active.json"

    def activate(self, dataset: str, active: Active) -> Contract:
        """Make a version the enforced one; the contract that it is.

        Raises:
            UnknownDataset, UsageError, NotASchema: as `load`; nothing is changed then.
            UsageError: a field's mode is given that the contract does not have.
        """
        contract = self.meant(dataset, active)
        write_atomic(self.active_path(dataset), active.to_json().encode())
        return contract

    def meant(self, dataset: str, active: Active) -> Contract:
        """The contract that would be in force then. Raises what `activate` does."""
        contract = self.load(dataset, active.contract)
        labels = tops(contract)
        for label in active.fields:
            if label not in labels:
                near = get_close_matches(label, labels, 3)
                more = (
                    f"perhaps {', '.join(map(json.dumps, near))}"
                    if near
                    else f"`assay export {dataset}@{active.contract} --format jsonschema` lists them"
                )
                raise UsageError(
                    f"{dataset}@{active.contract} has no field {json.dumps(label)} to observe or enforce; {more}"
                )
        return contract

    def active_contracts(self) -> list[tuple[Contract, Active]]:
        """Every dataset's enforced contract, by name.

        Raises:
            UsageError, NotASchema: one of them cannot be read.
        """
        found = []
        for dataset in self.datasets():
            active = self.active(dataset)
            if active is not None:
                found.append((self.load(dataset, active.contract), active))
        return found


def tops(contract: Contract) -> dict[str, str]:
    """The labels of all fields of a contract, each with the event's own field that it is in: `address` of `address.zip`."""
    return {
        label: top.name
        for top in contract.root.properties
        for label in (top.name, *(label for label, _ in top.walk(top.name)))
    }


def switched(contract: Contract, number: int, mode: Mode, former: Active | None, fields: Mapping[str, Mode]) -> Active:
    """What is in force of `contract` in place of `former`, with these modes for single fields.

    Of the others those that had a mode of their own keep it, where the contract has them. What is enforced with what it
    is in is not named: it is observed when that is.
    """
    labels = tops(contract)
    kept = {} if former is None else {label: own for label, own in former.fields.items() if label in labels}
    own = {**kept, **fields}

    def is_apart(label: str) -> bool:
        top = labels.get(label, label)
        return own[label] == "observe" or (mode if top == label else own.get(top, mode)) == "observe"

    return Active(number, mode, {label: own[label] for label in own if is_apart(label)})


def parse_active(text: str, where: str) -> Active:
    """What `active.json` says; `where` is its name in an error.

    Raises:
        NotASchema: it is not what it should be.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise no_json(error, where) from error
    if not isinstance(document, dict):
        raise NotASchema("", 'expected {"contract": n, "mode": "enforce"}', where=where)
    unknown = document.keys() - {"contract", "mode", "fields"}
    if unknown:
        raise NotASchema(f"/{min(unknown)}", "only contract, mode and fields are known here", where=where)
    number = document.get("contract")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise NotASchema("/contract", "the number of a version is expected", where=where)
    modes = get_args(Mode)
    mode = document.get("mode", "enforce")
    if mode not in modes:
        raise NotASchema("/mode", f"one of {', '.join(modes)} is expected", where=where)
    fields = document.get("fields", {})
    if not isinstance(fields, dict) or not all(each in modes for each in fields.values()):
        raise NotASchema("/fields", "an object of field: enforce or observe is expected", where=where)
    return Active(number, mode, fields)
