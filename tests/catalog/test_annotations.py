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


def tags(project):
    return {run.id: run.annotation.added for run in project.runs}


@pytest.fixture
def three_projects(add_run, tmp_path):
    """`one` has both runs, `two` the first of them, `other` another one."""
    add_run("0.31.0-finished", "one")
    add_run("0.28.2-failed", "one")
    add_run("0.31.0-finished", "two")
    add_run("0.28.2-failed", "other")
    return tmp_path


async def test_a_project_that_was_moved_keeps_what_was_said_of_its_runs_and_says_so_for_a_while(
    three_projects, state, monkeypatch
):
    catalog = Catalog(None, state)
    view = await catalog.view(str(three_projects / "one"), {})
    await catalog.annotate(view, FINISHED, tagged("good"))
    (three_projects / "one").rename(three_projects / "moved")
    kept = files(state)
    moved = await catalog.view(str(three_projects / "moved"), {})
    assert tags(moved) == {FINISHED: ("good",), "fx6ea763": ()}
    assert f"your tags and notes are those of {three_projects / 'one'}, which is gone" in moved.notes
    assert {name: data for name, data in files(state).items() if "annotations" in name} == {
        name: data for name, data in kept.items() if "annotations" in name
    }
    monkeypatch.setattr("runwised.catalog.annotations.NEWS_SECONDS", 0.0)
    again = await catalog.view(str(three_projects / "moved"), {})
    assert tags(again)[FINISHED] == ("good",)
    assert not any("gone" in note for note in again.notes)


async def test_what_is_said_after_the_move_goes_on_from_it_and_is_moved_again(three_projects, state):
    first, second, third = (three_projects / name for name in ("one", "moved", "moved again"))
    catalog = Catalog(None, state)
    await say(catalog, first, tagged("good"))
    first.rename(second)
    await say(catalog, second, tagged("better"))
    assert Overlay(state, str(second)).path
    second.rename(third)
    for found in (catalog, Catalog(None, state)):
        newest = (await found.view(str(third), {})).runs[0]
        assert newest.annotation.added == ("good", "better")
    first.mkdir()
    assert (await catalog.view(str(third), {})).runs[0].annotation.added == ("good", "better")


async def test_nothing_is_taken_from_a_project_that_is_there_or_had_other_runs(three_projects, state):
    catalog = Catalog(None, state)
    view = await catalog.view(str(three_projects / "one"), {})
    await catalog.annotate(view, FINISHED, tagged("good"))
    assert tags(await catalog.view(str(three_projects / "two"), {})) == {FINISHED: ()}
    shutil.rmtree(three_projects / "one")
    assert tags(await catalog.view(str(three_projects / "other"), {})) == {"fx6ea763": ()}
    assert tags(await catalog.view(str(three_projects / "two"), {})) == {FINISHED: ("good",)}


async def test_a_project_that_comes_back_has_its_own_again(three_projects, state):
    catalog = Catalog(None, state)
    view = await catalog.view(str(three_projects / "two"), {})
    await catalog.annotate(view, FINISHED, tagged("good"))
    (three_projects / "two").rename(three_projects / "unmounted")
    view = await catalog.view(str(three_projects / "one"), {})
    assert tags(view)[FINISHED] == ("good",)
    (three_projects / "unmounted").rename(three_projects / "two")
    assert tags(await catalog.view(str(three_projects / "one"), {}))[FINISHED] == ()
    assert tags(await catalog.view(str(three_projects / "two"), {})) == {FINISHED: ("good",)}


async def test_where_several_projects_that_are_gone_would_fit_none_is_taken_and_that_is_told(three_projects, state):
    catalog = Catalog(None, state)
    for name in ("one", "two"):
        view = await catalog.view(str(three_projects / name), {})
        await catalog.annotate(view, FINISHED, tagged(name))
    shutil.copytree(three_projects / "two", three_projects / "copy")
    for name in ("one", "two"):
        shutil.rmtree(three_projects / name)
    view = await catalog.view(str(three_projects / "copy"), {})
    assert tags(view) == {FINISHED: ()}
    (told,) = [note for note in view.notes if "would fit" in note]
    assert {str(three_projects / "one"), str(three_projects / "two")} <= set(told.replace(",", "").split())


async def test_a_log_without_an_id_is_known_by_its_file_and_not_by_its_name(tmp_path, state):
    def project(name):
        (tmp_path / name / "logs").mkdir(parents=True)
        (tmp_path / name / "logs" / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
        return tmp_path / name

    catalog = Catalog(None, state)
    one = project("one")
    await say(catalog, one, tagged("good"))
    like = project("like")
    one.rename(tmp_path / "moved")
    assert list(tags(await catalog.view(str(like), {})).values()) == [()]
    assert list(tags(await catalog.view(str(tmp_path / "moved"), {})).values()) == [("good",)]
