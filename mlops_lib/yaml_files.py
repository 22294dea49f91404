"""YAML files of users: a number is a number, and what YAML reads as something else than it looks is refused.

PyYAML follows YAML 1.1, in which ``1e-3`` is a text, ``010`` is eight, ``1:30`` is ninety,
and the last of two equal keys wins. Here ``1e-3`` is a number as in YAML 1.2, and the others are errors.
"""

import math
import re
from pathlib import Path
from typing import Any

import yaml

#: Floats of YAML 1.2 that are none in YAML 1.1: without a point, or without the sign of the exponent.
EXPONENT = re.compile(r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+")
LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")


def read_yaml(file: Path) -> Any:
    """The content of a YAML file.

    Raises:
        yaml.YAMLError: The file is no YAML, has a key twice, or a number that YAML reads as another one.
        UnicodeDecodeError: The file is not UTF-8.
        OSError: The file cannot be read.
    """
    return yaml.load(file.read_text(encoding="utf-8-sig"), _Loader)


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, yaml.Node] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            first = seen.setdefault(self.construct_object(key_node), key_node)
            if first is not key_node:
                where = f"{first.value} in line {first.start_mark.line + 1}"
                raise _problem(
                    key_node, f"the key {key_node.value} is the key {where} again. Keep one of them"
                )
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = super().construct_yaml_int(node)
        _require_plain(node, value)
        return value

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        value = super().construct_yaml_float(node)
        _require_plain(node, value)
        if math.isinf(value) and "inf" not in node.value.lower():
            raise _problem(node, f"{node.value} is larger than any number. Write it in quotes for a text")
        return value


def _require_plain(node: yaml.ScalarNode, value: float) -> None:
    """Raise for a number that looks like another one, or like a time."""
    if ":" in node.value or (isinstance(value, int) and LEADING_ZERO.fullmatch(node.value)):
        raise _problem(
            node,
            f"YAML reads {node.value} as the number {value}. Write '{node.value}' in quotes for a text, or the number "
            "that you mean",
        )


def _problem(node: yaml.Node, message: str) -> yaml.YAMLError:
    return yaml.YAMLError(f"line {node.start_mark.line + 1}: {message}.")


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
