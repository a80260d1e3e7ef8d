"""What `pip install .` gives: scripts that run, types, the demonstration project, one version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from runwise_protocol import __version__

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"runwise_cli", "runwise_mcp", "runwise_protocol", "runwised"}
SCRIPTS = ("runwise", "runwise-mcp", "runwised")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    with zipfile.ZipFile(next(folder.glob("runwised-*.whl"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts' folder of a fresh environment that has the wheel; what it depends on comes from ours."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True)
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (purelib / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["--python", str(home / "bin" / "python"), "install", "--quiet", "--no-deps", str(wheel.filename)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    return home / "bin"


def metadata(wheel: zipfile.ZipFile) -> Message:
    found = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(found).decode())


def test_the_wheel_holds_the_four_packages_typed_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not re.search(r"\.(dist-info|data)$", top)} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(wheel.namelist())


def test_the_wheel_holds_every_file_of_the_demonstration_project(wheel: zipfile.ZipFile) -> None:
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "runwised" / "demo").rglob("*") if path.is_file()}
    there = {info.filename: info.file_size for info in wheel.infolist() if info.filename.startswith("runwised/demo/")}
    assert set(there) == here
    assert sum(there.values()) < 300_000
    assert sum(name.endswith(".wandb") for name in there) == 6


def test_the_wheel_holds_the_units_that_install_writes(wheel: zipfile.ZipFile, installed: Path) -> None:
    for path in (ROOT / "systemd").iterdir():
        assert wheel.read(f"runwise_cli/systemd/{path.name}") == path.read_bytes()
    environ = outside(installed) | {"XDG_RUNTIME_DIR": str(installed)}
    shown = [installed / "runwise", "daemon", "install", "--print"]
    told = subprocess.run(shown, cwd="/", env=environ, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    if sys.platform == "linux":
        assert f"+ExecStart={installed / 'python'} -P -m runwised\n" in told.stdout


def test_the_version_stands_in_one_place(wheel: zipfile.ZipFile) -> None:
    assert metadata(wheel)["Version"] == __version__
    code = [ROOT / "pyproject.toml"]
    for folder in ("protocol", "runwised", "runwise_cli", "runwise_mcp"):
        code += (ROOT / folder).rglob("*.py")
    found = [path for path in code if f'"{__version__}"' in path.read_text(encoding="utf-8")]
    assert [path.relative_to(ROOT).as_posix() for path in found] == ["protocol/runwise_protocol/__init__.py"]


def test_the_metadata_say_what_is_promised(wheel: zipfile.ZipFile) -> None:
    told = metadata(wheel)
    assert (told["Name"], told["Requires-Python"], told["License-Expression"]) == ("runwised", ">=3.11", "MIT")
    assert "Typing :: Typed" in told.get_all("Classifier", [])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_a_bare_call_of_its_package(installed: Path, name: str) -> None:
    first, *rest = (installed / name).read_text().splitlines()
    assert first == f"#!{installed / 'python'}"
    assert rest[1:] == ["", "main()"]
    assert os.access(installed / name, os.X_OK)


def test_the_command_runs_where_it_was_installed(installed: Path) -> None:
    told = subprocess.check_output([installed / "runwise", "--version"], text=True, cwd="/", env=outside(installed))
    assert told == f"runwise {__version__}\n"
    where = [installed / "python", "-c", "import runwise_protocol, runwised; print(runwised.__file__)"]
    told = subprocess.check_output(where, text=True, cwd="/", env=outside(installed))
    assert Path(told.strip()).is_relative_to(installed.parent)


def test_the_demonstration_runs_where_it_was_installed(installed: Path, daemon_env: dict[str, str]) -> None:
    environ = outside(installed) | {name: daemon_env[name] for name in daemon_env if name.startswith("RUNWISE_")}
    del environ["RUNWISE_NO_DAEMON"]
    demo = [installed / "runwise", "demo"]
    told = subprocess.run(demo, cwd="/", env=environ, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    assert re.search(r"^gpt-wide finished 1200 ", told.stdout, flags=re.MULTILINE)


def outside(scripts: Path) -> dict[str, str]:
    """An environment that knows nothing of the checkout."""
    return {"PATH": f"{scripts}:/usr/bin:/bin", "HOME": str(scripts.parent), "RUNWISE_NO_DAEMON": "1"}
