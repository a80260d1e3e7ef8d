"""The side files of a run, as the fixtures' SDKs and older ones wrote them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from runwised.formats.wandb_files import parse_config, parse_metadata, parse_requirements, parse_summary

FIXTURES = Path(__file__).parents[1] / "fixtures" / "wandb"


def side_files(name: str) -> list[Path]:
    return sorted(FIXTURES.glob(f"*/wandb/*run-*/files/{name}"))


@pytest.mark.parametrize("path", side_files("config.yaml"), ids=lambda path: path.parts[-5])
def test_config_is_what_the_script_set(path: Path) -> None:
    truth = json.loads((path.parents[3] / "truth.json").read_text())["runs"][0]["config"]
    assert parse_config(path.read_bytes()) in (truth, {})


def test_one_config_of_either_writer_is_there() -> None:
    assert len([path for path in side_files("config.yaml") if parse_config(path.read_bytes())]) == 2


@pytest.mark.parametrize("path", side_files("wandb-metadata.json"), ids=lambda path: path.parts[-5])
def test_metadata_is_named_and_measured_alike_in_all_versions(path: Path) -> None:
    facts = parse_metadata(path.read_bytes()).facts
    assert facts["host"] == "trainbox"
    assert facts["program"] == "/data/proj/generate.py"
    assert facts["args"][0] == "--child"
    assert 1795442600 < facts["started_at"] < 1795442800
    assert facts.get("memory", {"total": 25276502016})["total"] == 25276502016
    assert not {"state", "heartbeatAt", "heartbeat_at", "codePath"} & set(facts)


@pytest.mark.parametrize("path", side_files("wandb-summary.json"), ids=lambda path: path.parts[-5])
def test_summary_is_a_nested_object(path: Path) -> None:
    summary = parse_summary(path.read_bytes())
    assert summary["_wandb"]["runtime"] >= 0
    if "weird/nan" in summary:
        assert math.isnan(summary["weird/nan"])
        assert summary["weird/inf"] == math.inf


def test_metadata_before_010_says_how_the_run_ended() -> None:
    told = parse_metadata(b'{"state": "failed", "exitcode": 3, "project": "p", "displayName": "n", "jobType": "train"}')
    assert (told.state, told.exit_code) == ("failed", 3)
    assert (told.identity.project, told.identity.name, told.identity.job_type) == ("p", "n", "train")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-05", 1e-05),
        ("1.0e-05", 1e-05),
        ("-3", -3),
        ("010", "010"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("yes", "yes"),
        ("true", True),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        (".nan", math.nan),
        ("null", None),
        ("", None),
        ('"12"', "12"),
        ("=", "="),
        ("<<", "<<"),
        ("1152921504606846977", 2**60 + 1),
        ("!!python/tuple [1, 2]", [1, 2]),
        ("!custom {a: 1}", {"a": 1}),
        ("|-\n    two\n    lines", "two\nlines"),
    ],
)
def test_yaml_scalars_mean_what_the_writers_meant(text: str, value: object) -> None:
    assert repr(parse_config(f"k:\n  value: {text}\n".encode())) == repr({"k": value})


def test_config_keys_are_text_and_bookkeeping_is_left_out() -> None:
    assert parse_config(b"wandb_version: 1\n_wandb: {value: 1}\n1: {desc: null, value: {2: x}}\nplain: 5\n") == {
        "1": {"2": "x"},
        "plain": 5,
    }
    assert parse_config(b"") == {}


@pytest.mark.parametrize(
    "data",
    [
        b"a: [1, 2",
        b"- 1\n- 2\n",
        b"\xff\xfe\x00",
        b"[" * 1200,
        b"{[1]: 2}",
        b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + b"".join(b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (n + 1, n + 1, *[n] * 7) for n in range(97, 107)),
        b"a: &a [*a]\n",
        b"a: " + b"9" * 10_000,
    ],
)
def test_a_config_that_cannot_be_read_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_config(data)


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'"x"', b"null"])
def test_half_written_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        parse_summary(data)
    with pytest.raises(ValueError, match="no JSON object"):
        parse_metadata(data)


def test_packages_have_their_versions() -> None:
    data = b"torch==2.1.0+cu121\n# note\n-e git+x@y\nmine @ file:///x/mine\nodd\n\xff==1\n"
    assert parse_requirements(data) == {"torch": "2.1.0+cu121", "mine": "file:///x/mine", "\ufffd": "1"}


@pytest.mark.parametrize("path", side_files("requirements.txt"), ids=lambda path: path.parts[-5])
def test_packages_of_any_version_are_read(path: Path) -> None:
    assert "wandb" in parse_requirements(path.read_bytes())
