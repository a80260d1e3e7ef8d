"""What the user says of runs outlives index and process, never touches the project, and is never written over."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from runwised.catalog.annotations import NotKept, Overlay
from runwised.catalog.catalog import Catalog
from runwised.index.kept import Annotation

pytestmark = pytest.mark.anyio
FINISHED = "fxb2c515"


def tagged(*tags):
    return lambda said: replace(said, added=tuple(dict.fromkeys([*said.added, *tags])))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def overlay(state: Path, tmp_path: Path) -> Overlay:
    return Overlay(state, str(tmp_path))


async def say(catalog: Catalog, root: Path, change):
    view = await catalog.view(str(root), {})
    return await catalog.annotate(view, view.runs[0].id, change)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_what_is_said_is_merged_with_the_log_and_outlives_index_and_process(add_run, tmp_path, state):
    add_run("0.31.0-finished")
    root, cache = tmp_path / "proj", tmp_path / "cache"
    before = files(root)
    first = Catalog(cache, state)
    logged = tuple((await first.view(str(root), {})).runs[0].tags)
    assert logged
    said = Annotation(added=("good",), removed=logged[:1], note="mine")
    await say(first, root, lambda _: said)
    await first.close()
    shutil.rmtree(cache)
    (run,) = (await Catalog(cache, state).view(str(root), {})).runs
    assert run.annotation == said
    assert run.tags == (*logged[1:], "good")
    assert (run.notes or "").splitlines()[-1] == "mine"
    assert files(root) == before


async def test_another_process_sees_it_at_once_through_a_link_too(add_run, tmp_path, state):
    add_run("0.31.0-finished")
    (tmp_path / "link").symlink_to(tmp_path / "proj")
    one, other = Catalog(None, state), Catalog(None, state)
    await other.view(str(tmp_path / "link"), {})
    await say(one, tmp_path / "proj", tagged("good"))
    await say(other, tmp_path / "link", tagged("better"))
    assert (await one.view(str(tmp_path / "proj"), {})).runs[0].annotation.added == ("good", "better")


def test_the_file_is_readable_by_people_and_by_nobody_else(overlay):
    overlay.edit("a", "a", tagged("good"))
    path = Path(overlay.path)
    assert path.read_text() == (
        f'{{\n  "root": "{path.parents[2]}",\n  "runs": {{\n    "a": {{\n      "added": [\n        "good"\n'
        "      ]\n    }\n  }\n}\n"
    )
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert {each.name for each in path.parent.iterdir()} == {path.name, "lock"}


def test_writers_at_the_same_time_lose_nothing(state, tmp_path):
    program = (
        "import sys; from pathlib import Path; from msgspec.structs import replace\n"
        "from runwised.catalog.annotations import Overlay\n"
        "overlay = Overlay(Path(sys.argv[1]), sys.argv[2])\n"
        "for at in range(20):\n"
        "    overlay.edit('a', 'a', lambda said: replace(said, added=(*said.added, f'{sys.argv[3]}{at}')))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, state, tmp_path, name]) for name in "xy"]
    here = Overlay(state, str(tmp_path))

    def write() -> None:
        for at in range(20):
            here.edit("a", "a", tagged(f"z{at}"))

    thread = threading.Thread(target=write)
    thread.start()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    thread.join(60)
    here.refresh()
    assert sorted(here.of("a", "a").added) == sorted(f"{name}{at}" for name in "xyz" for at in range(20))


@pytest.mark.parametrize("damage", [b"", b"{", b'{"root": "/x", "runs": {"a": {"added": 3}}}', b"\xff", b"[" * 50_000])
def test_a_file_that_makes_no_sense_is_told_and_set_aside_never_written_over(overlay, damage):
    path = Path(overlay.path)
    path.parent.mkdir(parents=True)
    for count in (1, 2):
        path.write_bytes(damage)
        overlay.refresh()
        assert overlay.trouble.startswith(f"tags and notes of yours cannot be read, {path}: ")
        aside = f"{path}.damaged-{count}"
        assert (
            overlay.edit("a", "a", tagged("new"))
            == f"earlier tags and notes could not be read: they are kept in {aside}"
        )
        assert Path(aside).read_bytes() == damage
        overlay.refresh()
        assert (overlay.trouble, overlay.of("a", "a").added) == ("", ("new",))


def test_where_nothing_can_be_changed_the_file_stays(overlay):
    overlay.edit("a", "a", tagged("good"))
    before = Path(overlay.path).read_bytes()
    with pytest.raises(ValueError, match="no"):
        overlay.edit("a", "a", lambda _: (_ for _ in ()).throw(ValueError("no")))
    Path(overlay.path).write_bytes(b"{")
    with pytest.raises(ValueError, match="no"):
        overlay.edit("a", "a", lambda _: (_ for _ in ()).throw(ValueError("no")))
    assert Path(overlay.path).read_bytes() == b"{"
    assert json.loads(before)["runs"] == {"a": {"added": ["good"]}}


async def test_a_state_folder_that_cannot_be_written_is_told(add_run, tmp_path):
    add_run("0.31.0-finished")
    (tmp_path / "state").write_text("a file")
    with pytest.raises(NotKept, match=r"cannot write .*: Not a directory"):
        await say(Catalog(None, tmp_path / "state"), tmp_path / "proj", tagged("good"))


def test_copies_of_a_run_share_what_was_said_until_it_is_said_of_one(overlay):
    overlay.edit("a", "a", tagged("good"))
    assert overlay.of("a@there", "a").added == overlay.of("a@here", "a").added == ()
    overlay.refresh()
    assert overlay.of("a@there", "a").added == overlay.of("a@here", "a").added == ("good",)
    overlay.edit("a@here", "a", tagged("better"))
    overlay.edit("a@there", "a", lambda _: Annotation())
    overlay.refresh()
    assert overlay.of("a@here", "a").added == ("good", "better")
    assert overlay.of("a@there", "a") == Annotation()


def test_without_a_state_folder_it_is_kept_in_memory(tmp_path):
    overlay = Overlay(None, str(tmp_path))
    overlay.edit("a", "a", tagged("good"))
    overlay.refresh()
    assert overlay.of("a", "a").added == ("good",)
