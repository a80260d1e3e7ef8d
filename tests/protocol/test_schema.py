"""A contract's parameters, its errors and its JSON Schema say what its fields say."""

from __future__ import annotations

import json

import msgspec
import pytest
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import QUERIES, Compare, History, ListRuns, Raw
from runwise_protocol.query import Look, Query, checked
from runwise_protocol.schema import json_schema, parameters, request


def test_a_field_is_told_with_its_spelling_bounds_and_default() -> None:
    known = {parameter.name: parameter for parameter in parameters(History)}
    assert known["run"].flags == ()
    assert known["keys"].flags == ("-k", "--keys")
    assert known["keys"].many
    assert known["x"].flags == ("--x",)
    assert (known["samples"].kind, known["samples"].least, known["samples"].most) == ("integer", 1, 100_000)
    assert known["window"].default == 50
    assert parameters(Look)[0].choices == ("csv", "json", "jsonl", "md", "text")
    kinds = {parameter.name: parameter.kind for parameter in parameters(ListRuns)}
    assert (kinds["limit"], kinds["state"], kinds["no_spark"]) == ("integer", "text", "switch")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.command)
def test_every_field_of_every_query_has_a_help_text(query: type[Query]) -> None:
    assert query.__doc__
    assert [parameter.name for parameter in parameters(query) if not parameter.help.endswith(".")] == []


@pytest.mark.parametrize(
    ("contract", "given", "line"),
    [
        (ListRuns, {"limit": "0"}, "--limit: expected a whole number from 1 to 100000, found '0'"),
        (ListRuns, {"limit": "1e3"}, "--limit: expected a whole number from 1 to 100000, found '1e3'"),
        (History, {"window": "0"}, "--window: expected a whole number from 1, found '0'"),
        (History, {"start": "9" * 25}, f"--from: expected a whole number, found '{'9' * 25}'"),
        (Raw, {"step": "3-5"}, "--step: expected step, or first:last (inclusive), found '3-5'"),
        (Look, {"form": "yaml"}, "--format: expected csv, json, jsonl, md or text, found 'yaml'"),
        (Compare, {}, "RUNS: expected ids, unique prefixes or names, found nothing"),
        (ListRuns, {"state": "x" * 1001}, f"--state: expected text of 1 to 1000 characters, found '{'x' * 59}…'"),
        (ListRuns, {"state": ""}, "--state: expected text of 1 to 1000 characters, found nothing"),
        (History, {"keys": [","]}, "--keys: expected text of 1 to 1000 characters, found nothing"),
        (Compare, {"runs": ["ab"] * 51}, f"RUNS: expected array of length <= 50, found '{('ab,' * 20)[:59]}…'"),
        (ListRuns, {"state": "\udcff"}, "--state: expected text in UTF-8, found '\\udcff'"),
    ],
)
def test_a_value_out_of_bounds_is_told_by_its_flag(contract: type, given: dict[str, str], line: str) -> None:
    with pytest.raises(RunwiseError) as caught:
        request(contract, given)
    assert caught.value.kind is Kind.USAGE
    assert caught.value.message == line


def test_a_run_whose_name_is_no_text_is_named_as_typed_answers_name_it() -> None:
    assert request(Raw, {"run": "r-\udcff"}).run == "r-\\udcff"
    assert request(Compare, {"runs": ["a", "\udcfe"]}).runs == ("a", "\\udcfe")


def test_a_json_schema_has_the_fields_and_not_the_tag() -> None:
    schema = json_schema(Raw)
    assert list(schema["properties"]) == ["run", "keys", "step", "row", "at", "around", "limit"]
    assert {"type": "integer", "minimum": 1, "maximum": 10_000}.items() <= schema["properties"]["limit"].items()
    assert "anyOf" not in schema["properties"]["limit"]
    assert schema["properties"]["step"]["type"] == "string"
    assert schema["required"] == []
    assert json_schema(Compare)["required"] == ["runs"]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.command)
def test_what_a_json_schema_allows_a_request_takes(query: type[Query]) -> None:
    schema = json.loads(json.dumps(json_schema(query)))
    fields = {name: ["a"] if schema["properties"][name]["type"] == "array" else "a" for name in schema["required"]}
    fields |= {name: field["default"] for name, field in schema["properties"].items() if "default" in field}
    assert isinstance(checked(query, fields), query)
    with pytest.raises(msgspec.ValidationError):
        checked(query, {**fields, "no_such_field": 1})
