import pytest
from runwise_protocol.errors import Kind, RunwiseError

from runwised.queries.resolve import handle, handles, resolve, short_id

ESCAPE = "\x1b[31m"


@pytest.fixture
def view(run_of, project_of):
    ids = {"3be9c0de": "gpt-small", "3be9ffff": "gpt-large", "77aa0000": "twin", "88bb0000": "twin", "99cc0000": ""}
    return project_of(*(run_of(id=run_id, name=name) for run_id, name in ids.items()))


def test_no_reference_is_the_latest_run(view):
    assert resolve(None, view).id == "3be9c0de"


@pytest.mark.parametrize(
    ("ref", "run_id"),
    [
        ("3be9c0de", "3be9c0de"),
        ("gpt-small", "3be9c0de"),
        ("3be9f", "3be9ffff"),
        ("gpt-l", "3be9ffff"),
        ("7", "77aa0000"),
        ("run-20240131_120000-77aa0000", "77aa0000"),
        ("offline-run-20240131_120000-88bb0000", "88bb0000"),
        ("wandb/run-20240131_120000-99cc0000/", "99cc0000"),
    ],
)
def test_a_run_is_found_by_id_name_beginning_or_folder(ref, run_id, view):
    assert resolve(ref, view).id == run_id


@pytest.mark.parametrize(
    ("ref", "listed"),
    [
        ("3be9", "gpt-small, gpt-large"),
        ("gpt", "gpt-small, gpt-large"),
        ("twin", "77aa (twin), 88bb (twin)"),
    ],
)
def test_an_ambiguous_reference_lists_the_candidates(ref, listed, view):
    with pytest.raises(RunwiseError) as caught:
        resolve(ref, view)
    assert caught.value.kind is Kind.AMBIGUOUS
    assert str(caught.value) == f"error: '{ref}' is ambiguous: {listed}\nhint: runwise list"


def test_at_most_eight_candidates_are_listed(run_of, project_of):
    runs = [run_of(id=f"run{at:02}", name=f"seed-{at:02}") for at in range(12)]
    with pytest.raises(RunwiseError, match=r"seed-06, seed-07 and 4 more\n"):
        resolve("seed", project_of(*runs))


def test_an_unknown_reference_names_the_nearest(view):
    with pytest.raises(RunwiseError) as caught:
        resolve("gpt-smal1", view)
    assert caught.value.kind is Kind.NOT_FOUND
    assert str(caught.value) == "error: no run 'gpt-smal1'; nearest: gpt-small, gpt-large\nhint: runwise list"


@pytest.mark.parametrize("ref", ["zzz", "", "x" * 100_000, ESCAPE])
def test_a_reference_near_nothing_is_just_unknown(ref, view):
    with pytest.raises(RunwiseError) as caught:
        resolve(ref, view)
    assert str(caught.value) == f"error: no run '{ref[:100].removeprefix(ESCAPE)}'\nhint: runwise list"


def test_an_exact_id_wins_over_a_name(run_of, project_of):
    view = project_of(run_of(id="aaaa", name="bbbb"), run_of(id="bbbb", name="cccc"))
    assert resolve("bbbb", view).id == "bbbb"
    assert resolve("aaaa", view).id == "aaaa"


def test_a_handle_is_the_name_or_else_the_shortest_beginning_of_the_id(view):
    known = handles(view.runs, view)
    assert list(known.values()) == ["gpt-small", "gpt-large", "77aa", "88bb", "99cc"]
    assert handle(view.runs[3], view) == "88bb"


def test_every_handle_means_its_run(run_of, project_of):
    names = ["a b", "--flag", "3be9", "$(rm)", "ok", "ok", "n" * 80, "größe", "3be9c0d"]
    ids = ["3be9c0de", "3be9c0df", "3be", "x", "aaaa1111", "aaaa2222", "ok1", "3be9c", "zz"]
    view = project_of(*(run_of(id=run_id, name=name) for run_id, name in zip(ids, names, strict=True)))
    for run in view.runs:
        assert resolve(handle(run, view), view) is run


def test_ids_that_begin_alike_are_told_apart():
    assert short_id("abcdef12", ["abcdef12", "abcdef99", "ffff0000"]) == "abcdef1"
    assert short_id("abc", ["abc", "abcdef"]) == "abc"


def test_an_id_that_a_person_chose_is_not_cut():
    assert short_id("mytest-cifar", ["mytest-cifar", "x8k2m4dq"]) == "mytest-cifar"
    assert short_id("x8k2m4dq", ["mytest-cifar", "x8k2m4dq"]) == "x8k2"


def test_the_last_folders_of_an_id_that_is_a_path_mean_its_run_when_no_other_ends_so(run_of, project_of):
    view = project_of(*(run_of(id=name) for name in ("runs/exp", "runs/exp/seed1", "old/seed2", "new/seed2", "exp1")))
    assert [resolve(ref, view).id for ref in ("exp/seed1", "seed1", "old/seed2")] == [
        *("runs/exp/seed1", "runs/exp/seed1", "old/seed2"),
    ]
    assert [resolve(ref, view).id for ref in ("exp", "exp1", "runs/exp/s")] == ["runs/exp", "exp1", "runs/exp/seed1"]
    for ref, kind in (("seed2", Kind.AMBIGUOUS), ("eed1", Kind.NOT_FOUND), ("", Kind.NOT_FOUND)):
        with pytest.raises(RunwiseError) as caught:
            resolve(ref, view)
        assert caught.value.kind is kind


def test_a_name_that_is_no_text_is_taken_as_it_is_sent_and_as_it_is_shown(run_of, project_of):
    view = project_of(run_of(id="run-\udcff", name="run-\udcff"), run_of(id="other", name="other"))
    for ref in ("run-\udcff", "run-\\udcff", "run-\ufffd"):
        assert resolve(ref, view).id == "run-\udcff"
