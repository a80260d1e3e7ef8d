"""Projects that were asked about are known ever after: all of them are listed, and found by the ends of their paths."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from runwise_protocol.queries.since import Since
from runwise_protocol.query import Look

from runwised.catalog import catalog as catalog_module
from runwised.catalog.catalog import Catalog
from runwised.catalog.everything import MOST_PROJECTS, KnownProjects, NoSuchProject, SeveralProjects
from runwised.catalog.place import NoProject
from runwised.queries.everywhere import Everywhere
from runwised.queries.respond import respond

pytestmark = pytest.mark.anyio


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def projects(found):
    return sorted(Path(project.root).name for project in found.projects)


async def test_every_project_that_was_asked_about_is_in_it_also_after_a_restart(add_run, tmp_path, state):
    for name in ("one", "two", "three"):
        add_run("0.31.0-finished", name)
    first = Catalog(None, state)
    await first.view(str(tmp_path / "one"), {})
    await first.view(str(tmp_path / "two" / "wandb"), {})
    assert projects(await first.view_all()) == ["one", "two"]
    again = await Catalog(None, state).view_all()
    assert projects(again) == ["one", "two"]
    assert (again.late, again.unseen) == (0, 0)
    assert [(run.id, Path(home.root).name) for run, home in again.runs] == [
        ("fxb2c515", "two"),
        ("fxb2c515", "one"),
    ]


async def test_a_project_that_is_gone_or_empty_or_found_by_variables_only_is_not_in_it(add_run, tmp_path, state):
    for name in ("gone", "elsewhere"):
        add_run("0.31.0-finished", name)
    (tmp_path / "empty" / "logs").mkdir(parents=True)
    (tmp_path / "other" / "logs").mkdir(parents=True)
    catalog = Catalog(None, state)
    await catalog.view(str(tmp_path / "gone"), {})
    await catalog.view(str(tmp_path / "empty"), {})
    wandb = {"RUNWISE_WANDB_DIR": str(tmp_path / "elsewhere" / "wandb")}
    assert (await catalog.view(str(tmp_path / "other"), wandb)).runs
    shutil.rmtree(tmp_path / "gone")
    found = await catalog.view_all()
    assert (found.projects, found.unseen) == ((), 0)


async def test_what_cannot_be_looked_at_in_time_is_counted_and_comes_next_time(add_run, tmp_path, state, monkeypatch):
    for name in ("one", "two"):
        add_run("0.31.0-finished", name)
        await Catalog(None, state).view(str(tmp_path / name), {})
    catalog = Catalog(None, state)
    monkeypatch.setattr(catalog_module, "VIEW_SECONDS", 0.0)
    assert (await catalog.view_all()).unseen == 2
    monkeypatch.undo()
    assert (await catalog.view_all()).unseen == 0

    places = KnownProjects.places

    async def places_at_the_last_moment(*asked):
        found = await places(*asked)
        monkeypatch.setattr(catalog_module, "VIEW_SECONDS", 0.0)
        return found

    monkeypatch.setattr(KnownProjects, "places", places_at_the_last_moment)
    found = await catalog.view_all()
    assert (projects(found), found.late, found.unseen) == (["one", "two"], 2, 0)


@pytest.mark.parametrize(("glimpse_seconds", "listed"), [(60.0, 30), (0.0, 0)])
async def test_projects_that_there_is_no_time_to_read_are_listed_all_the_same(
    glimpse_seconds, listed, add_run, tmp_path, state, monkeypatch
):
    """Their runs are named, and read the next time; those that there was no time to list are counted."""
    names = [f"p{at}" for at in range(30)]
    for name in names:
        add_run("0.31.0-finished", name)
    state.mkdir()
    (state / "projects").write_text("".join(f"{tmp_path / name}\n" for name in names))
    catalog = Catalog(None, state)
    places = KnownProjects.places

    async def places_at_the_last_moment(*asked):
        found = await places(*asked)
        monkeypatch.setattr(catalog_module, "VIEW_SECONDS", 0.0)
        return found

    with monkeypatch.context() as changed:
        changed.setattr(KnownProjects, "places", places_at_the_last_moment)
        changed.setattr(catalog_module, "GLIMPSE_SECONDS", glimpse_seconds)
        found = await catalog.view_all()
    assert (len(found.projects), found.late, found.unseen) == (listed, 0, 30 - listed)
    assert [(run.id, run.indexed) for run, _ in found.runs] == [("fxb2c515", False)] * listed
    assert {project.unindexed for project in found.projects} <= {1}
    monkeypatch.setattr(catalog_module, "VIEW_SECONDS", 60.0)
    found = await catalog.view_all()
    assert (projects(found), found.late, found.unseen) == (sorted(names), 0, 0)
    assert {run.step for run, _ in found.runs} == {1200}


def test_a_folder_comes_before_a_known_project_and_a_known_one_is_found_by_the_end_of_its_path(tmp_path, state):
    known = KnownProjects(state)
    for name in ("a/proj", "b/proj", "c/other"):
        (tmp_path / name).mkdir(parents=True)
        known.remember(str(tmp_path / name))
    find = KnownProjects(state).find
    assert find("other", str(tmp_path)) == str(tmp_path / "c/other")
    assert find("b/proj", "/") == str(tmp_path / "b/proj")
    assert find("proj", str(tmp_path / "a")) == str(tmp_path / "a/proj")
    assert find("..", str(tmp_path / "a")) == str(tmp_path)
    with pytest.raises(SeveralProjects) as several:
        find("proj", "/")
    assert sorted(several.value.roots) == [str(tmp_path / "a/proj"), str(tmp_path / "b/proj")]
    for name in ("roj", "nothing"):
        with pytest.raises(NoSuchProject, match=f"no folder '{name}'"):
            find(name, "/")
    shutil.rmtree(tmp_path / "c")
    with pytest.raises(NoProject):
        find("other", "/")


def test_the_file_is_bounded_and_lets_go_of_what_is_gone(tmp_path, state):
    state.mkdir()
    kept = [tmp_path / f"p{at}" for at in range(MOST_PROJECTS)]
    for path in kept:
        path.mkdir()
    lines = [str(tmp_path / "gone"), "not a path", *map(str, kept)]
    (state / "projects").write_text("\n".join(lines) + "\n")
    known = KnownProjects(state)
    (tmp_path / "new").mkdir()
    known.remember(str(tmp_path / "new"))
    found = (state / "projects").read_text().splitlines()
    assert found == [str(tmp_path / "new"), *map(str, kept[:-1])]
    assert (state / "projects").stat().st_mode & 0o777 == 0o600


def test_where_it_cannot_be_written_this_process_knows_it_all_the_same(tmp_path, caplog):
    (tmp_path / "state").write_text("a file")
    known = KnownProjects(tmp_path / "state")
    known.remember(str(tmp_path))
    assert known.roots() == [str(tmp_path)]
    assert "cannot be written" in caplog.text


def news(found, cursor=None):
    """The answer to what is new in all projects since a cursor; and its text."""
    written = respond(Since(all=True, cursor=cursor), Everywhere(found), Look())
    return written.reply, "".join(written.chunks)


def log_rows(path, *steps):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(f'{{"step": {step}, "loss": {4 - step / 100}}}\n' for step in steps)


async def indexed(catalog):
    found = await catalog.view_all()
    for project in found.projects:
        await catalog.indexed(project, [run.id for run in project.runs])
    return await catalog.view_all()


async def test_one_cursor_stands_for_all_projects_also_after_a_restart(tmp_path, state):
    for name in ("one", "two", "three"):
        log_rows(tmp_path / name / "logs/a.jsonl", *range(20))
    catalog = Catalog(None, state)
    for name in ("one", "two", "three"):
        await catalog.view(str(tmp_path / name), {})
    first, text = news(await indexed(catalog))
    assert first.full
    assert sum(first.states.values()) == 3
    assert text.endswith(f"{first.cursor}\n")
    assert news(await catalog.view_all(), first.cursor)[1] == ""
    log_rows(tmp_path / "two/logs/a.jsonl", 20, 21)
    log_rows(tmp_path / "three/logs/b.jsonl", *range(5))
    await catalog.close()
    catalog = Catalog(None, state)
    for project in (await catalog.view_all()).projects:
        project.holdings._swept_at = -1000.0
    second, text = news(await indexed(catalog), first.cursor)
    changes = {(Path(change.root).name, change.id): (change.change, change.records) for change in second.runs}
    assert changes == {("two", "a"): ("went on", 2), ("three", "b"): ("new", 0)}
    assert "a in two step 19→21 loss 3.79" in text
    assert news(await catalog.view_all(), second.cursor)[1] == ""
    (tmp_path / "one/logs/a.jsonl").unlink()
    for project in (await catalog.view_all()).projects:
        project.holdings._swept_at = -1000.0
    third, text = news(await catalog.view_all(), second.cursor)
    assert [(change.change, Path(change.root).name) for change in third.runs] == [("gone", "one")]
    assert text.startswith("a in one is gone")
    await catalog.close()


async def test_a_cursor_of_one_project_is_good_for_all_and_the_other_way_round(tmp_path, state):
    for name in ("one", "two"):
        log_rows(tmp_path / name / "logs/a.jsonl", *range(20))
    catalog = Catalog(None, state)
    for name in ("one", "two"):
        await catalog.view(str(tmp_path / name), {})
    everything = Everywhere(await indexed(catalog)).cursor()
    one = await catalog.view(str(tmp_path / "one"), {})
    assert one.cursor() == everything
    log_rows(tmp_path / "one/logs/a.jsonl", 20)
    one = await catalog.view(str(tmp_path / "one"), {})
    later = one.cursor()
    assert one.past(everything).marks["a"].records == 20
    found = await catalog.view_all()
    assert [change.records for change in news(found, everything)[0].runs] == [1]
    assert news(found, later)[0].runs == []
    await catalog.close()


async def test_of_a_project_nobody_had_asked_about_only_what_goes_on_is_new(add_run, writer, tmp_path, state):
    log_rows(tmp_path / "one/logs/a.jsonl", *range(20))
    catalog = Catalog(None, state)
    await catalog.view(str(tmp_path / "one"), {})
    first = news(await indexed(catalog))[0].cursor
    add_run("0.31.0-finished", "late")
    log = add_run("0.31.0-running", "late")
    source = log.rename(tmp_path / "source")
    writer(log, source, source.stat().st_size)
    await catalog.view(str(tmp_path / "late"), {})
    second, _ = news(await indexed(catalog), first)
    assert [(change.id, change.change, change.state) for change in second.runs] == [("fxc2e402", "new", "running")]
    unknown, text = news(await catalog.view_all(), "@77zz")
    assert unknown.unknown
    assert text.startswith("! cursor @77zz is not known")
    await catalog.close()


async def test_without_any_project_there_is_no_cursor(state):
    found, text = news(await Catalog(None, state).view_all())
    assert (found.cursor, text) == ("", "no runs under all known projects\n")
