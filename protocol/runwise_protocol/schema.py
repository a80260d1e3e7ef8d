"""A contract as a list of parameters: one description for the command line and for JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import inspect

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.harmless import portable
from runwise_protocol.query import Query, checked

Given: TypeAlias = Mapping[str, Any]
"""What a command line gave, by field: a text, True for a switch, several texts for a repeated flag."""

_RUNS = ("run", "runs")
"""Fields that name runs: names of files, which need not be text."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a contract, as a command line spells it."""

    name: str
    argument: str
    """What an MCP tool calls it."""
    kind: Literal["text", "integer", "switch"]
    flags: tuple[str, ...]
    """How it is spelled; none: it is given by place."""
    many: bool
    required: bool
    default: Any
    choices: tuple[str, ...]
    least: int | None
    most: int | None
    """Bounds of a whole number; of a text, `most` is its length."""
    pattern: str
    """What a text must match; empty: anything."""
    help: str

    @property
    def spelling(self) -> str:
        """What an error calls it."""
        return self.flags[-1] if self.flags else self.name.upper()

    @property
    def expected(self) -> str:
        """What a value must be."""
        if self.choices:
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        if self.pattern or self.required:
            told = self.help.rpartition(": ")[2].rstrip(".")
            return told[:1].lower() + told[1:]
        if self.kind == "integer":
            least = "" if self.least is None else f" from {self.least}"
            return f"a whole number{least}" + ("" if self.most is None else f" to {self.most}")
        return f"text of 1 to {self.most} characters" if self.most else "text"


@cache
def parameters(contract: type[msgspec.Struct]) -> tuple[Parameter, ...]:
    """The fields of a contract, in the order they are declared."""
    described = inspect.type_info(contract)
    assert isinstance(described, inspect.StructType)
    return tuple(_parameter(field) for field in described.fields)


def request(contract: type[msgspec.Struct], given: Given) -> Any:
    """Build a contract from texts, bounds included.

    Raises RunwiseError (usage) that names the flag, what was expected and what was found.
    """
    known = {parameter.name: parameter for parameter in parameters(contract)}
    fields = {name: _value(known[name], value) for name, value in given.items()}
    for parameter in known.values():
        if parameter.required and not fields.get(parameter.name):
            raise _refused(parameter, "")
    try:
        return checked(contract, fields)
    except msgspec.ValidationError as error:
        expected, _, path = str(error).removeprefix("Expected ").replace("`", "").partition(" - at $.")
        name = path.partition("[")[0]
        raise _refused(known[name], given[name], expected if known[name].many and name == path else "") from error


def json_schema(query: type[Query]) -> dict[str, Any]:
    """JSON Schema (2020-12) of a query's fields, without the tag that names the query on the wire.

    A field that may be left out is described by the type it has when it is given.
    """
    _, components = msgspec.json.schema_components((query,))
    schema: dict[str, Any] = components[query.__name__]
    schema["properties"] = {
        name: _plain(field) for name, field in schema["properties"].items() if name != query.__struct_config__.tag_field
    }
    schema["required"] = [parameter.name for parameter in parameters(query) if parameter.required]
    return schema


def _parameter(field: inspect.Field) -> Parameter:
    help_text, extra, kind = _unwrap(field.type)
    many = isinstance(kind, inspect.VarTupleType)
    single = kind.item_type if isinstance(kind, inspect.VarTupleType) else kind
    kinds: dict[type, Literal["integer", "switch"]] = {inspect.IntType: "integer", inspect.BoolType: "switch"}
    return Parameter(
        name=field.name,
        argument=extra.get("argument", field.name),
        kind=kinds.get(type(single), "text"),
        flags=() if extra.get("positional") else extra.get("flags", ("--" + field.name.replace("_", "-"),)),
        many=many,
        required=field.required,
        default=None if field.default is msgspec.NODEFAULT else field.default,
        choices=tuple(str(value) for value in getattr(single, "values", ())),
        least=getattr(single, "ge", None),
        most=getattr(single, "le", getattr(single, "max_length", None)),
        pattern=getattr(single, "pattern", None) or "",
        help=help_text,
    )


def _unwrap(kind: inspect.Type) -> tuple[str, dict[str, Any], inspect.Type]:
    """Description, spelling and bare type of a field: annotations and ``| None`` taken off."""
    help_text = ""
    extra: dict[str, Any] = {}
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            help_text = help_text or (kind.extra_json_schema or {}).get("description", "")
            extra = {**(kind.extra or {}), **extra}
            kind = kind.type
        else:
            kind = next(member for member in kind.types if not isinstance(member, inspect.NoneType))
    return help_text, extra, kind


def _value(parameter: Parameter, value: Any) -> Any:
    """What a field takes, of the text given for it. Nothing given (``--flag ''``) is refused, not passed over."""
    if isinstance(value, bool):
        return value
    if any("\ud800" <= letter <= "\udfff" for letter in "".join(value)):
        if parameter.name not in _RUNS:
            raise _refused(parameter, value, "text in UTF-8")
        value = portable(value) if isinstance(value, str) else [portable(text) for text in value]
    if parameter.many:
        value = [part for text in value for part in (text.split(",") if parameter.flags else [text]) if part]
    if not value or (parameter.choices and value not in parameter.choices):
        raise _refused(parameter, value)
    if parameter.kind != "integer":
        return value
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
        raise _refused(parameter, value)
    return int(value)


def _refused(parameter: Parameter, value: Any, expected: str = "") -> RunwiseError:
    found = value if isinstance(value, str) else ",".join(value)
    shown = repr(found if len(found) <= 60 else found[:59] + "…") if found else "nothing"
    return RunwiseError(Kind.USAGE, f"{parameter.spelling}: expected {expected or parameter.expected}, found {shown}")


def _plain(field: dict[str, Any]) -> dict[str, Any]:
    """The same field without its null alternative and its null default."""
    options = [option for option in field.get("anyOf", ()) if option != {"type": "null"}]
    rest = {key: value for key, value in field.items() if key != "anyOf" and (key, value) != ("default", None)}
    return {**rest, **options[0]} if len(options) == 1 else field
