"""How long a question waits for its answer, and for what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from runwised.queries.project import ProjectView

Q = TypeVar("Q")


class Patience(NamedTuple, Generic[Q]):
    """An answer is tried again whenever something changed, until there is one, or the query's `patience` is over."""

    is_over: Callable[[Q, ProjectView], bool]
    """Whether there is an answer now. Raises RunwiseError."""
    runs: Callable[[Q, ProjectView], list[str] | None]
    """Ids of the runs that it depends on; None: on any, also on those to come."""
    check: Callable[[Q, ProjectView], None] = lambda _, __: None
    """Refuses at once what there could never be an answer to. Raises RunwiseError."""
    from_cursor: Callable[[Q, str], Q] = lambda query, _: query
    """The same question, counted from the moment that the cursor stands for."""
    again: Callable[[Q, ProjectView], float | None] = lambda _, __: None
    """After how many seconds time alone could change the answer; None: it could not."""


AnyPatience: TypeAlias = Patience[Any]
