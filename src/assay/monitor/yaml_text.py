"""YAML that people can read: several lines as a block, a constant on one line."""

from __future__ import annotations

from typing import Any

__all__ = ["Line", "yaml_text"]


class Line(dict[str, Any]):
    """A mapping that is written on one line."""


def yaml_text(document: Any) -> str:
    """`document` as YAML, its keys in their order; the same document gives the same text."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        # A block cannot hold every text: where a reader could take it for another, PyYAML quotes it itself.
        style = "|" if "\n" in value.strip("\n") else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    def line(dumper: yaml.SafeDumper, value: Line) -> yaml.MappingNode:
        return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=True)

    Dumper.add_representer(str, text)
    Dumper.add_representer(Line, line)
    dumped: str = yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return dumped
