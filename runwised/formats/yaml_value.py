"""YAML as W&B's two writers produce it: the Python one (YAML 1.1) and the Go one (1.2, so ``1e-05`` is a number)."""

from __future__ import annotations

import re
from typing import Any

import yaml  # type: ignore[import-untyped]

_MOST_VALUES = 1_000_000


class _TextLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Every scalar but null is text; unknown tags are passed over."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def construct_plain(self, node: yaml.Node) -> Any:
        """A node of any tag, by its shape."""
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return self.construct_scalar(node)


class _Loader(_TextLoader):
    """Scalars by YAML 1.2's core schema (dates stay text)."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


_NUMBER_STARTS = list("-+0123456789")
for _each in (_TextLoader, _Loader):
    _each.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"), _NUMBER_STARTS)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
    [*_NUMBER_STARTS, "."],
)
_TextLoader.add_constructor(None, _TextLoader.construct_plain)


def decode_yaml(data: bytes, *, as_text: bool = False) -> Any:
    """The document as plain dicts (keys are text), lists, text, numbers, booleans and None; or no numbers and booleans.

    Raises ValueError when it is no YAML, or when its aliases unfold to more than a million values.
    """
    try:
        return _plain(yaml.load(data.decode("utf-8", "replace"), _TextLoader if as_text else _Loader), [_MOST_VALUES])
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"no YAML: {str(error).splitlines()[0]}") from None


def _plain(value: Any, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"YAML of more than {_MOST_VALUES} values")
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(inner, left) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, left) for inner in value]
    return value
