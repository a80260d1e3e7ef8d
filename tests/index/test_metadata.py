"""Metadata is merged as the records say, in their order."""

from __future__ import annotations

import math

import numpy as np

from runwised.formats.record import (
    Alert,
    Console,
    Damage,
    Definition,
    Exit,
    Facts,
    Identity,
    Mark,
    Patch,
    Resume,
)
from runwised.index.metadata import DEPTH, TOO_DEEP
from runwised.index.run_index import RunIndex


def begun() -> RunIndex:
    index = RunIndex()
    index.start_source("a")
    return index


def test_later_records_win_field_by_field_and_the_first_start_is_kept() -> None:
    index = begun()
    index.fold(Identity(run_id="r", name="first", start_time=10.0, tags=("a",)))
    index.start_source("b")
    index.fold(Identity(name="second", start_time=20.0))
    assert index.identity == Identity(run_id="r", name="second", start_time=20.0, tags=("a",))
    assert index.created == 10.0


def test_a_set_replaces_what_stood_at_its_path_and_removes_come_last() -> None:
    index = begun()
    index.fold(Patch("summary", [(("a",), 1), (("a", "b"), 2), (("c",), {"d": 3, "e": 4})]))
    assert index.summary == {"a": {"b": 2}, "c": {"d": 3, "e": 4}}
    index.fold(Patch("summary", [(("c", "d"), 5), (("f",), 6)], [("a",), ("c", "e"), ("no", "such"), ("f", "g")]))
    assert index.summary == {"c": {"d": 5}, "f": 6}
    index.fold(Patch("config", [(("lr",), 0.1)]))
    assert index.config == {"lr": 0.1}


def test_nesting_without_end_is_cut_and_said_so() -> None:
    deep: object = 1
    for _ in range(3 * DEPTH):
        deep = [deep]
    index = begun()
    index.fold(Patch("config", [(("deep",), deep), (("p",) * 300, 7)], [("q",) * 300]))
    index.fold(Facts({"deep": deep}))
    assert TOO_DEEP in str(index.config["deep"])
    assert TOO_DEEP in str(index.facts["deep"])
    node = index.config
    for _ in range(DEPTH - 1):
        node = node["p"]
    assert list(node.values()) == [7]


def test_facts_and_definitions_are_merged_by_name() -> None:
    index = begun()
    index.fold(Facts({"os": "linux", "gpu": 1}))
    index.fold(Facts({"gpu": 2}))
    assert index.facts == {"os": "linux", "gpu": 2}
    index.fold(Definition(key="loss", goal="maximize"))
    index.fold(Definition(key="loss", glob=True))
    index.fold(Definition(key="loss", goal="minimize"))
    assert index.definitions == [Definition(key="loss", goal="minimize"), Definition(key="loss", glob=True)]


def test_each_source_has_its_own_end_and_console() -> None:
    index = begun()
    index.fold(Mark(0, "header"))
    index.fold(Exit(9, 1))
    index.start_source("b")
    index.fold(Mark(0, "header"))
    index.fold(Console(np.array([4]), np.array([math.nan]), np.array([True]), np.array([3])))
    index.fold(Exit(8, 0))
    index.set_resume(0, Resume(70, b"s"), 100)
    first, second = index.sources
    assert (first.key, first.exits, first.size, first.resume) == ("a", [Exit(9, 1)], 100, Resume(70, b"s"))
    assert (second.key, second.exits, second.marks) == ("b", [Exit(8, 0)], [Mark(0, "header")])
    assert len(index.console(0).offsets) == 0
    assert index.console(1).offsets.tolist() == [4]
    assert index.console(1).stderr.tolist() == [True]


def test_damage_is_counted_by_reason() -> None:
    index = begun()
    for batch in (Damage(5, 10, "checksum"), Damage(50, 7, "torn"), Damage(90, 1, "checksum")):
        index.fold(batch)
    index.fold(Alert(95, "t", "text", "WARN"))
    assert index.damage == {"checksum": 11, "torn": 7}
    assert index.damage_count == 3
    assert index.alerts == [Alert(95, "t", "text", "WARN")]
