"""One file per question: `answer` and `render`, two pure functions; here the registry of all of them.

* ``answer(query, view) -> Reply``: the typed answer, whole and exact.
* ``render(reply, page, query, view) -> None``: the same as text. The view is there for what only the text shows
  (trends, handles, the next command); the reply is what `answer` gave for this query and view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
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

from runwised.queries.about import About, Wait
from runwised.queries.patience import AnyPatience
from runwised.queries.project import ProjectView
from runwised.queries.tabular import Objects, flattened, keyed, listed
from runwised.render.page import Page


class Handler(NamedTuple):
    """How one query is answered: by a file here, which is imported with the first such question.

    Of the file's names these are looked for beside `answer` and `render`:

    * ``objects(reply)``: the objects that jsonl and csv write, where that is no plain field of the reply;
    * ``stream(query, view, form)``: for answers too long to hold: the text in chunks, instead of `render`;
    * ``about(query, view)``: the runs it is about, and what it waits for, where these are not just `waits_for` and the
      query's field ``run``;
    * ``PATIENCE``: for questions that may wait for something to happen: for what.
    """

    file: str
    waits_for: Wait
    """What it waits for, of the run it names."""
    field: Callable[[Reply], Objects] | None = None
    """The objects that jsonl and csv write, where a field of the reply holds them."""
    cursor: bool = True
    """Whether the text ends with a cursor where a run it is about goes on."""

    @property
    def answer(self) -> Callable[[Any, ProjectView], Reply]:
        """See above."""
        found: Callable[[Any, ProjectView], Reply] = self._own("answer")
        return found

    @property
    def render(self) -> Callable[[Any, Page, Any, ProjectView], None]:
        """See above."""
        found: Callable[[Any, Page, Any, ProjectView], None] = self._own("render")
        return found

    @property
    def objects(self) -> Callable[[Reply], Objects] | None:
        """See above; None: these forms make no sense."""
        return self.field or self._own("objects")

    @property
    def stream(self) -> Callable[[Any, ProjectView, Form], Iterator[str]] | None:
        """See above; forms text, csv and jsonl."""
        found: Callable[[Any, ProjectView, Form], Iterator[str]] | None = self._own("stream")
        return found

    @property
    def about(self) -> Callable[[Any, ProjectView], About] | None:
        """See above."""
        found: Callable[[Any, ProjectView], About] | None = self._own("about")
        return found

    @property
    def patience(self) -> AnyPatience | None:
        """See above."""
        found: AnyPatience | None = self._own("PATIENCE")
        return found

    def _own(self, name: str) -> Any:
        return getattr(import_module(f"{__name__}.{self.file}"), name, None)

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms it can be written in."""
        if self.stream:
            return ("text", "csv", "jsonl")
        return ("text", "md", "csv", "json", "jsonl") if self.objects else ("text", "md", "json")


HANDLERS: dict[type[Query], Handler] = {
    ListRuns: Handler("runs", "none", listed("runs")),
    Latest: Handler("run", "short", keyed("metrics")),
    ShowRun: Handler("run", "short", keyed("metrics")),
    ListKeys: Handler("keys", "whole", listed("keys")),
    ShowStats: Handler("stats", "whole", keyed("metrics")),
    History: Handler("history", "whole", keyed("series")),
    Raw: Handler("raw", "whole", listed("rows")),
    ShowConfig: Handler("config", "whole", flattened("config")),
    ShowNotes: Handler("notes", "whole"),
    TagRun: Handler("annotate", "none"),
    NoteRun: Handler("annotate", "none"),
    Log: Handler("log", "whole", listed("lines")),
    Live: Handler("live", "none", listed("runs")),
    Compare: Handler("compare", "whole"),
    Export: Handler("export", "whole"),
    ListSources: Handler("sources", "none", listed("sources"), cursor=False),
    LearnSchema: Handler("schema", "short", cursor=False),
    Local: Handler("local", "whole", cursor=False),
    TensorBoard: Handler("local", "whole", cursor=False),
    FindRuns: Handler("find", "none", listed("runs")),
    RankRuns: Handler("best", "short", listed("runs")),
    Diagnose: Handler("diagnose", "whole", listed("events")),
    CheckHealth: Handler("health", "whole", listed("runs")),
    ShowStability: Handler("stability", "whole"),
    Rank: Handler("rank", "short", listed("runs")),
    GroupRuns: Handler("groups", "short", listed("groups")),
    SweepRuns: Handler("sweep", "short", listed("keys")),
    Since: Handler("since", "short", listed("runs"), cursor=False),
    WaitFor: Handler("wait", "whole", cursor=False),
}
"""One line per query."""
