"""Which of a Hugging Face Trainer's state files tells the whole run: each save writes another one."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from typing import NamedTuple

from runwised.catalog.passed import MANY, Passed

STATE_NAME = "trainer_state.json"
OLDER = "older checkpoint of the same run"

_STEP = re.compile(rb'"global_step":\s*(\d{1,15})')


class States(NamedTuple):
    """The state files of one output folder."""

    newest: str
    """Path of the one that holds the whole line; empty: there is none."""
    older: tuple[Passed, ...]
    plain: tuple[int, ...]
    """Numbers of checkpoint folders without a state: folders as any other."""


def states(folder: str, own_step: int | None, checkpoints: Sequence[int]) -> States:
    """Choose among ``checkpoint-<N>/trainer_state.json`` (N from `checkpoints`, greatest first) and the folder's own.

    `own_step` is the step the folder's own state stands at; None where there is no such file, -1 where it does not
    say. A state without a byte is that of a program which died while it saved. Costs one stat for each checkpoint.
    """
    sizes = {number: _size(state_path(folder, number)) for number in checkpoints}
    saved = [number for number, size in sizes.items() if size is not None]
    newest = next((number for number in saved if sizes[number]), None)
    own = os.path.join(folder, STATE_NAME)
    use_own = own_step is not None and (newest is None or own_step >= newest)
    chosen = own if use_own else "" if newest is None else state_path(folder, newest)
    older = [state_path(folder, number) for number in saved if state_path(folder, number) != chosen]
    told = [Passed(path, OLDER) for path in older]
    if len(older) > MANY:
        told = [Passed(os.path.join(folder, "checkpoint-*", STATE_NAME), OLDER, len(older))]
    if own_step is not None and not use_own:
        told.append(Passed(own, OLDER))
    return States(chosen, tuple(told), tuple(number for number, size in sizes.items() if size is None))


def state_path(folder: str, number: int) -> str:
    """Where a checkpoint's state is."""
    return os.path.join(folder, f"checkpoint-{number}", STATE_NAME)


def step_in(head: bytes) -> int:
    """The step a state file that begins with these bytes stands at; -1 where they do not say."""
    found = _STEP.search(head)
    return int(found[1]) if found else -1


def _size(path: str) -> int | None:
    """Bytes of a regular file; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
