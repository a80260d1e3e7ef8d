"""One file per query: the request struct, the answer structs beside it; here the registry of all of them."""

from __future__ import annotations

from typing import TypeAlias

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
from runwise_protocol.query import Query

AnyQuery: TypeAlias = (
    ListRuns
    | Latest
    | ShowRun
    | ListKeys
    | ShowStats
    | History
    | Raw
    | ShowConfig
    | ShowNotes
    | TagRun
    | NoteRun
    | Log
    | Live
    | Compare
    | Export
    | ListSources
    | LearnSchema
    | Local
    | TensorBoard
    | FindRuns
    | RankRuns
    | Diagnose
    | CheckHealth
    | ShowStability
    | Rank
    | GroupRuns
    | SweepRuns
    | Since
    | WaitFor
)
"""Every request, told apart on the wire by its ``ask`` field."""

QUERIES: tuple[type[Query], ...] = AnyQuery.__args__
"""The registry, in the order help shows them."""

BY_COMMAND = {query.command: query for query in QUERIES}
