"""One file per question: `answer` and `render`, two pure functions; here the registry of all of them.

* ``answer(query, view) -> Reply``: the typed answer, whole and exact.
* ``render(reply, page, query, view) -> None``: the same as text. The view is there for what only the text shows
  (trends, handles, the next command); the reply is what `answer` gave for this query and view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from runwise_protocol.queries.about import ShowConfig, ShowNotes
from runwise_protocol.queries.annotate import NoteRun, TagRun
from runwise_protocol.queries.best import RankRuns
from runwise_protocol.queries.compare import Compare
from runwise_protocol.queries.diagnose import CheckHealth, Diagnose
from runwise_protocol.queries.find import FindRuns
from runwise_protocol.queries.groups import GroupRuns
from runwise_protocol.queries.history import History
from runwise_protocol.queries.live import Live
from runwise_protocol.queries.local import Local, TensorBoard
from runwise_protocol.queries.log import Log
from runwise_protocol.queries.metrics import ListKeys, ShowStats
from runwise_protocol.queries.rank import Rank
from runwise_protocol.queries.raw import Export, Raw
from runwise_protocol.queries.run import Latest, ShowRun
from runwise_protocol.queries.runs import ListRuns
from runwise_protocol.queries.schema import LearnSchema
from runwise_protocol.queries.since import Since
from runwise_protocol.queries.sources import ListSources
from runwise_protocol.queries.stability import ShowStability
from runwise_protocol.queries.sweep import SweepRuns
from runwise_protocol.queries.wait import WaitFor
from runwise_protocol.query import Form, Query, Reply

from runwised.queries import (
    annotate,
    best,
    compare,
    config,
    diagnose,
    export,
    find,
    goal,
    groups,
    health,
    history,
    keys,
    live,
    local,
    log,
    notes,
    rank,
    raw,
    run,
    runs,
    schema,
    since,
    sources,
    stability,
    stats,
    sweep,
    wait,
)
from runwised.queries.about import About, Wait
from runwised.queries.patience import AnyPatience
from runwised.queries.project import ProjectView
from runwised.queries.tabular import Objects, flattened, keyed, listed
from runwised.render.page import Page


class Handler(NamedTuple):
    """How one query is answered."""

    answer: Callable[[Any, ProjectView], Reply]
    render: Callable[[Any, Page, Any, ProjectView], None]
    waits_for: Wait
    """What it waits for, of the run it names."""
    objects: Callable[[Reply], Objects] | None = None
    """The objects that jsonl and csv write; None: these forms make no sense."""
    stream: Callable[[Any, ProjectView, Form], Iterator[str]] | None = None
    """For answers too long to hold: the text in chunks, instead of `render`; forms text, csv and jsonl."""
    about: Callable[[Any, ProjectView], About] | None = None
    """The runs it is about, and what it waits for, where these are not just `waits_for` and its field ``run``."""
    patience: AnyPatience | None = None
    """For questions that may wait for something to happen: for what."""
    cursor: bool = True
    """Whether the text ends with a cursor where a run it is about goes on."""

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms it can be written in."""
        if self.stream:
            return ("text", "csv", "jsonl")
        return ("text", "md", "csv", "json", "jsonl") if self.objects else ("text", "md", "json")


HANDLERS: dict[type[Query], Handler] = {
    ListRuns: Handler(runs.answer, runs.render, "none", listed("runs"), about=runs.about),
    Latest: Handler(run.answer, run.render, "short", keyed("metrics")),
    ShowRun: Handler(run.answer, run.render, "short", keyed("metrics")),
    ListKeys: Handler(keys.answer, keys.render, "whole", listed("keys")),
    ShowStats: Handler(stats.answer, stats.render, "whole", keyed("metrics")),
    History: Handler(history.answer, history.render, "whole", keyed("series")),
    Raw: Handler(raw.answer, raw.render, "whole", listed("rows")),
    ShowConfig: Handler(config.answer, config.render, "whole", flattened("config")),
    ShowNotes: Handler(notes.answer, notes.render, "whole"),
    TagRun: Handler(annotate.answer, annotate.render, "none"),
    NoteRun: Handler(annotate.answer, annotate.render, "none"),
    Log: Handler(log.answer, log.render, "whole", listed("lines")),
    Live: Handler(live.answer, live.render, "none", listed("runs")),
    Compare: Handler(compare.answer, compare.render, "whole", compare.objects, about=compare.about),
    Export: Handler(export.answer, export.render, "whole", stream=export.stream),
    ListSources: Handler(sources.answer, sources.render, "none", listed("sources"), cursor=False),
    LearnSchema: Handler(schema.answer, schema.render, "short", about=schema.about, cursor=False),
    Local: Handler(local.answer, local.render, "whole", local.objects, about=local.about, cursor=False),
    TensorBoard: Handler(local.answer, local.render, "whole", local.objects, about=local.about, cursor=False),
    FindRuns: Handler(find.answer, find.render, "none", listed("runs")),
    RankRuns: Handler(best.answer, best.render, "short", listed("runs"), about=best.about),
    Diagnose: Handler(diagnose.answer, diagnose.render, "whole", listed("events")),
    CheckHealth: Handler(health.answer, health.render, "whole", listed("runs"), about=health.about),
    ShowStability: Handler(stability.answer, stability.render, "whole", stability.objects),
    Rank: Handler(rank.answer, rank.render, "short", listed("runs"), about=rank.about),
    GroupRuns: Handler(groups.answer, groups.render, "short", listed("groups"), about=goal.about),
    SweepRuns: Handler(sweep.answer, sweep.render, "short", listed("keys"), about=goal.about),
    Since: Handler(
        since.answer, since.render, "short", listed("runs"), None, since.about, since.PATIENCE, cursor=False
    ),
    WaitFor: Handler(wait.answer, wait.render, "whole", wait.objects, None, wait.about, wait.PATIENCE, cursor=False),
}
"""One line per query."""
