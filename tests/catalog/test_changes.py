"""Whoever waits is woken by what they wait for, by nothing else, and misses nothing."""

from __future__ import annotations

from collections.abc import Iterable

import anyio
import pytest

from runwised.catalog.changes import Changes, Follower

pytestmark = pytest.mark.anyio


async def wakes(follower: Follower) -> None:
    with anyio.fail_after(5):
        await follower.changed()


@pytest.mark.parametrize(
    ("waited", "told", "wakes_up"),
    [(["a"], "a", True), (["a"], "b", False), (["a", "b"], "b", True), ([], "a", False), (None, "new", True)],
)
def test_only_those_are_woken_who_wait_for_the_run(waited: Iterable[str] | None, told: str, wakes_up: bool) -> None:
    changes = Changes()
    with changes.follow(waited) as follower:
        changes.tell(told)
        assert follower._woken.is_set() is wakes_up
        assert changes.follows(told) is wakes_up


async def test_what_happened_between_two_waits_is_not_missed() -> None:
    changes = Changes()
    with changes.follow(["a"]) as follower:
        changes.tell("a")
        changes.tell("a")
        await wakes(follower)
        assert not follower._woken.is_set()
        changes.tell("a")
        await wakes(follower)


async def test_one_who_sleeps_is_woken() -> None:
    changes = Changes()
    async with anyio.create_task_group() as tasks:
        with changes.follow(None) as follower:
            tasks.start_soon(wakes, follower)
            await anyio.wait_all_tasks_blocked()
            changes.tell("anything")
            await anyio.wait_all_tasks_blocked()


def test_what_happened_before_the_following_began_wakes_nobody() -> None:
    changes = Changes()
    changes.tell("a")
    with changes.follow(["a"]) as follower:
        assert not follower._woken.is_set()


def test_nobody_is_left_behind_and_nobody_is_taken_away() -> None:
    changes = Changes()
    assert not changes.any
    with changes.follow(["a", "a", "b"]) as one:
        with changes.follow(["a"]) as other:
            changes.tell("a")
            assert one._woken.is_set()
            assert other._woken.is_set()
        assert changes.follows("a")
        assert not changes.follows("c")
        assert changes.any
    assert not changes.any
    assert not changes.follows("a")


def test_one_that_ends_with_an_error_is_gone_too() -> None:
    changes = Changes()
    with pytest.raises(RuntimeError), changes.follow(None):
        raise RuntimeError
    assert not changes.any
