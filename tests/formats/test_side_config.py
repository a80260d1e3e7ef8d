"""Configs beside logs: what each writer leaves, and what is not whole."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml

from runwised.formats.side_config import SIDE_CONFIGS, parse_side_config

FIXTURES = Path(__file__).parents[1] / "fixtures" / "logs"


def test_lightnings_hyperparameters_are_read() -> None:
    truth = json.loads((FIXTURES / "csv_lightning" / "truth.json").read_text())["runs"]["lightning_logs/version_0"]
    data = (FIXTURES / "csv_lightning" / "lightning_logs" / "version_0" / "hparams.yaml").read_bytes()
    assert parse_side_config("hparams.yaml", data) == truth["config"]
    assert parse_side_config("hparams.yaml", b"{}\n") == {}


@pytest.mark.parametrize("name", [name for name in SIDE_CONFIGS if name.endswith((".yaml", ".yml"))])
def test_what_a_yaml_writer_dumps_comes_back(name: str) -> None:
    config = {"lr": 1e-3, "n": 3, "name": "a: b", "none": None, "on": True, "model": {"layers": [1, 2], "act": "gelu"}}
    assert parse_side_config(name, yaml.safe_dump(config).encode()) == config


@pytest.mark.parametrize("name", [name for name in SIDE_CONFIGS if name.endswith(".json")])
def test_what_a_json_writer_dumps_comes_back(name: str) -> None:
    config = {"lr": 1e-3, "big": 2**70, "model": {"layers": [1, 2], "act": None}}
    assert parse_side_config(name, json.dumps(config, indent=4).encode()) == config
    assert math.isnan(parse_side_config(name, b'\xef\xbb\xbf{"clip": NaN}\n')["clip"])


def test_objects_of_python_are_read_by_their_shape() -> None:
    data = b"opt: !!python/object:torch.Opt {lr: 0.1}\nbetas: !!python/tuple [0.9, 0.95]\n"
    assert parse_side_config("hparams.yaml", data) == {"opt": {"lr": 0.1}, "betas": [0.9, 0.95]}


def test_overrides_make_a_config() -> None:
    asked = ["optim.lr=1e-4", "+optim.betas=[0.9,0.95]", "~trainer.logger", "model=resnet", "path=${dir}/x", "tag="]
    data = yaml.safe_dump([*asked, "optim.lr=0.5", "seed", "sweep=[1,"]).encode()
    assert parse_side_config(".hydra/overrides.yaml", data) == {
        "optim": {"lr": 0.5, "betas": [0.9, 0.95]},
        "model": "resnet",
        "path": "${dir}/x",
        "tag": None,
        "sweep": "[1,",
    }
    assert parse_side_config("overrides.yaml", b"- a=1\n- a.b=2\n") == {"a": {"b": 2}}


def test_wrapped_values_are_unwrapped_when_all_are_wrapped() -> None:
    wrapped = b"_wandb:\n  value: {x: 1}\nlr:\n  desc: null\n  value: 0.1\nwandb_version: 1\n"
    assert parse_side_config("config.yaml", wrapped) == {"lr": 0.1}
    plain = b"lr:\n  value: 0.1\n  unit: s\nn:\n  value: 3\n"
    assert parse_side_config("config.yaml", plain) == {"lr": {"value": 0.1, "unit": "s"}, "n": {"value": 3}}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("hparams.yaml", b""),
        ("hparams.yaml", b"lr: 0.1\nhidden: 12"),
        (".hydra/config.yaml", b"lr: 0.1\nhidden: 12"),
        ("args.yaml", b"- 1\n"),
        ("args.yaml", b"a: [1, 2\n"),
        ("config.yaml", b"just text\n"),
        ("config.yaml", b""),
        ("params.json", b'{"lr": 0.1, "hid'),
        ("params.json", b""),
        ("args.json", b"[1]"),
        ("config.json", b"[" * 100000),
        (".hydra/overrides.yaml", b"- {a: 1}\n"),
        ("args.yaml", b"- a=1\n"),
        ("args.yaml", b"\xff\xfe\x00\n"),
    ],
)
def test_what_is_half_written_or_no_mapping_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_side_config(name, data)


def test_a_config_written_by_hand_needs_no_last_line_end() -> None:
    assert parse_side_config("config.yaml", b"lr: 0.1") == {"lr": 0.1}
