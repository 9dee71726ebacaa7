"""Contracts as Python source: the module of Pydantic models that a workspace keeps as `app/contracts.py`.

datamodel-code-generator makes the classes. It is given each field's type as a stand-in, which is then written out from
the same `Shape` that the live model is made of: where JSON Schema and stock Pydantic differ, only that knows what to say.
"""

from __future__ import annotations

import builtins
import itertools
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, Final

from assay.contract.document import Contract, Field
from assay.contract.shapes import MODULE_NAMES, Shape, attributes, cap_words, shape_of
from assay.errors import UsageError
from assay.types import Format, Integer, Number, OneOf

__all__ = ["bring_in", "literal", "rendered", "source"]

_HEADER: Final = '''"""The Pydantic models of the active contracts: {contracts}.

Generated from them: what is enforced is the contract, not this file. To change one, write the next version in
`contracts/{dataset}/` and activate it: `assay activate {dataset} N`. A field with a default may be missing; it may be
null only where its type says `| None`.
"""

'''

_IMPORTS: Final = (
    ("typing", ("Annotated", "Any", "Literal")),
    ("pydantic", ("ConfigDict", "Discriminator", "Field", "Tag")),
    ("assay.types", ("Event", "Format", "Integer", "Json", "Number", "OneOf", "json_kind")),
)
_MADE_FROM: Final = re.compile(r'"""The Pydantic models of the active contracts: (.*)\.\n')
_STAND_INS: Final = "assay_stand_ins"


def source(contracts: Sequence[Contract]) -> bytes:
    """The text of a module with a class for each contract's dataset, and `MODELS` to find them by.

    The same contracts give the same bytes, in whatever order they come.

    Raises:
        UsageError: datamodel-code-generator is not installed.
    """
    try:
        import black  # comes with datamodel-code-generator
        import datamodel_code_generator as _  # noqa: F401
    except ImportError as error:
        message = 'app/contracts.py needs datamodel-code-generator: install it with `pip install "assay[profile]"`'
        raise UsageError(message) from error
    contracts = sorted(contracts, key=lambda contract: contract.dataset)
    classes = _Classes(contracts)
    names = {contract.dataset: classes.add_dataset(contract) for contract in contracts}
    body = classes.text()
    models = "".join(f"    {literal(dataset)}: {name},\n" for dataset, name in names.items())
    body += f"MODELS = {{\n{models}}}\n" if names else "MODELS: dict[str, type[Event]] = {}\n"
    dataset = next(iter(names), "flights")
    listed = (
        ", ".join(f"{contract.dataset}@{contract.version or 'new'}" for contract in contracts) or "there is none yet"
    )
    header = _HEADER.format(contracts=listed, dataset=dataset)
    return black.format_str(f"{header}{_imports(body)}\n\n{body}", mode=black.Mode(line_length=120)).encode()


def rendered(text: str) -> frozenset[str] | None:
    """The contracts (`flights@3`) that such a module says it was made from; None where it does not say."""
    match = _MADE_FROM.match(text)
    return None if match is None else frozenset(re.findall(r"\S+@[0-9]+", match[1]))


def bring_in(datasets: Sequence[str]) -> str:
    """How a change of such a module becomes a contract."""
    names = [(cap_words(dataset), dataset) for dataset in datasets] if len(datasets) == 1 else [("CLASS", "DATASET")]
    (name, dataset) = names[0]
    return f"`assay import app/contracts.py:{name} --dataset {dataset}` makes a version of the change"


class _Classes:
    """Gathers the classes of all contracts, those inside others first, and has them written."""

    def __init__(self, contracts: Sequence[Contract]) -> None:
        fields = [child.name for contract in contracts for _, child in contract.root.walk()]
        # A class that shares its name with a field could not be told from it inside a class.
        self.taken = {*MODULE_NAMES, *keyword.kwlist, *dir(builtins), *attributes(fields).values()}
        self.datasets = {contract.dataset: self.name(cap_words(contract.dataset)) for contract in contracts}
        self.definitions: dict[str, Any] = {}
        self.texts: dict[str, str] = {}
        everything = "".join([*fields, *(contract.to_json() for contract in contracts)])
        self.mark = next(mark for number in itertools.count() if (mark := f"Q{number}Q") not in everything)

    def name(self, wanted: str) -> str:
        found = wanted if wanted[:1].isalpha() else f"Class{wanted}"
        while found in self.taken:
            found += "_"
        self.taken.add(found)
        return found

    def stand_in(self, text: str) -> str:
        """A name that the generator leaves as it is, and that is nowhere in the contracts, in place of `text`."""
        name = f"{self.mark}{len(self.texts)}{self.mark}"
        self.texts[name] = text
        return name

    def add_dataset(self, contract: Contract) -> str:
        name = self.datasets[contract.dataset]
        self.add(contract.root, name)
        return name

    def add(self, field: Field, name: str) -> None:
        names = attributes(child.name for child in field.properties)
        properties: dict[str, Any] = {}
        for child in field.properties:
            alias = {"alias": child.name} if names[child.name] != child.name else {}
            text = self.annotation(shape_of(child), name + cap_words(child.name), alias)
            properties[names[child.name]] = {
                "customTypePath": f"{_STAND_INS}.{self.stand_in(text)}",
                "nullable": False,  # what is nullable says so itself
            }
        self.definitions[self.stand_in(name)] = {
            "type": "object",
            "properties": properties,
            "required": [names[child.name] for child in field.properties if child.required],
            **({} if field.additional else {"additionalProperties": False}),
        }

    def annotation(self, shape: Shape, name: str, alias: Mapping[str, str] = MappingProxyType({})) -> str:
        """A shape in Python; the classes that it refers to are gathered on the way."""
        if shape.nullable:
            inner = self.annotation(replace(shape, nullable=False), name)
            return _annotated(f"{inner} | None", _field(alias))
        if shape.base == "Union":
            choices = (_annotated(self.annotation(choice, name), f'Tag("{kind}")') for kind, choice in shape.choices)
            return _annotated(" | ".join(choices), _field(alias), "Discriminator(json_kind)")
        if shape.base == "Literal":
            return _annotated(f"Literal[{', '.join(map(literal, shape.values))}]", _field(alias))
        base = shape.base
        if shape.item is not None:
            base = f"list[{self.annotation(shape.item, f'{name}Item')}]"
        elif shape.field is not None:
            base = self.name(name)
            self.add(shape.field, base)
        return _annotated(base, _field({**alias, **shape.limits}), _mark(shape.mark))

    def text(self) -> str:
        if not self.definitions:
            return ""
        text = _generate(self.definitions)
        text = re.sub("^from .*\n", "", text, flags=re.MULTILINE).strip()  # what is imported, the types decide
        text = text.replace("        arbitrary_types_allowed=True,\n", "")
        text = text.replace("    model_config = ConfigDict(\n    )\n", "")
        text = text.replace(_FORBID, '    model_config = ConfigDict(extra="forbid")\n\n')
        text = re.sub(f"{self.mark}[0-9]+{self.mark}", lambda name: self.texts[name[0]], text)
        return f"{text}\n\n\n"


_FORBID: Final = "    model_config = ConfigDict(\n        extra='forbid',\n    )\n"


def _generate(definitions: dict[str, Any]) -> str:
    import datamodel_code_generator as generator

    text = generator.generate(
        {"$defs": definitions},
        input_file_type=generator.InputFileType.JsonSchema,
        output_model_type=generator.DataModelType.PydanticV2BaseModel,  # type: ignore[attr-defined] # not in its __all__
        target_python_version=generator.PythonVersion.PY_311,
        base_class="assay.types.Event",
        strict_nullable=True,
        skip_root_model=True,
        disable_timestamp=True,
        disable_future_imports=True,  # classes inside others come first
        custom_file_header=" ",
        formatters=[],
    )
    assert isinstance(text, str)  # one module
    return text


def _imports(body: str) -> str:
    used = set(re.findall("[A-Za-z_]+", body))
    lines = []
    for module, names in _IMPORTS:
        found = [name for name in names if name in used or name == "Event"]
        if found:
            lines.append(f"from {module} import {', '.join(found)}\n")
    return "\n".join(lines)


def _annotated(base: str, *metadata: str) -> str:
    given = [each for each in metadata if each]
    return f"Annotated[{', '.join([base, *given])}]" if given else base


def _field(arguments: Mapping[str, Any]) -> str:
    return f"Field({_arguments(arguments)})" if arguments else ""


def _mark(mark: Integer | Number | Format | OneOf | None) -> str:
    if mark is None:
        return ""
    name = type(mark).__name__
    if isinstance(mark, OneOf):
        return f"{name}({', '.join(map(literal, mark.values))})"
    if isinstance(mark, Format):
        return f"{name}({literal(mark.name)})"
    given = {field.name: getattr(mark, field.name) for field in fields(mark)}
    return f"{name}({_arguments({key: value for key, value in given.items() if value is not None})})"


def _arguments(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={literal(value)}" for name, value in given.items())


def literal(value: Any) -> str:
    """A value in Python: text between double quotes, raw where it has backslashes, wherever that is plain."""
    if isinstance(value, str) and value.isascii() and value.isprintable() and '"' not in value:
        if "\\" not in value:
            return f'"{value}"'
        if not value.endswith("\\"):
            return f'r"{value}"'
    return repr(value)
