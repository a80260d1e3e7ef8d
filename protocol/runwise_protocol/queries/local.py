"""`local` and `tb`: log files, databases and folders named by their paths, in a project or anywhere else."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from runwise_protocol.queries.history import Curves
from runwise_protocol.queries.metrics import KeyList, StatsTable
from runwise_protocol.queries.run import RunSummary
from runwise_protocol.queries.runs import RunList
from runwise_protocol.queries.stability import Points, Stability
from runwise_protocol.query import Count, Query, Reply, Word

Path: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]

OneRun: TypeAlias = Annotated[
    Word | None,
    Meta(
        description="Which of several runs: id, unique prefix of an id, or name.",
        extra={"flags": ("-r", "--run")},
    ),
]
WithKeys: TypeAlias = Annotated[bool, Meta(description="The keys it logged, as keys shows them.")]
WithHistory: TypeAlias = Annotated[bool, Meta(description="Its curves, as history shows them.")]
WithStats: TypeAlias = Annotated[bool, Meta(description="Exact statistics, as stats shows them.")]
WithStability: TypeAlias = Annotated[bool, Meta(description="How steady its curves are, as stability shows it.")]
Metrics: TypeAlias = Annotated[
    tuple[Word, ...],
    Meta(
        description="Metric names or globs (val/*); may be repeated or comma-separated.",
        max_length=1000,
        extra={"flags": ("-k",)},
    ),
]
Samples: TypeAlias = Annotated[
    Count | None,
    Meta(
        description="Points, or windows, a curve; by default what fits the budget (500 in csv and json).",
        extra={"flags": ("-n", "--samples")},
    ),
]


class LocalLog(Reply, kw_only=True):
    """Answer to `local` and `tb`: each part as the command of that name gives it; None where it was not asked for."""

    path: str
    """What was looked at, as it was asked for; the project's root where nothing was named."""
    list: RunList | None = None
    run: RunSummary | None = None
    keys: KeyList | None = None
    stats: StatsTable | None = None
    history: Curves | None = None
    stability: Stability | None = None


class Local(Query, frozen=True, kw_only=True, tag="local"):
    """Show log files wherever they lie: JSONL, CSV, event files, Trainer states, text, MLflow's and Trackio's stores.

    With a path: its one run, or a list of its runs. Without: a list of the project's that are not W&B's.
    """

    command: ClassVar = "local"
    tool: ClassVar = "analyze_local_log"
    reply: ClassVar = LocalLog
    budget: ClassVar = 400

    file: Annotated[
        Path | None,
        Meta(
            description="Log file, mlflow.db, Trackio database, or a folder with logs; need not be in a project.",
            extra={"positional": True, "argument": "path"},
        ),
    ] = None
    run: OneRun = None
    keys: WithKeys = False
    history: WithHistory = False
    stats: WithStats = False
    stability: WithStability = False
    metrics: Metrics = ()
    samples: Samples = None
    window: Points = None

    @property
    def path(self) -> str | None:
        """What is named; None: the project."""
        return self.file


class TensorBoard(Query, frozen=True, kw_only=True, tag="tb"):
    """Show TensorBoard event files: the one run of a folder, or a list of its runs; by default the project's own."""

    command: ClassVar = "tb"
    reply: ClassVar = LocalLog
    budget: ClassVar = 400

    directory: Annotated[
        Path | None,
        Meta(
            description="Folder with event files, or one of them; need not be in a project.",
            extra={"positional": True},
        ),
    ] = None
    dir: Annotated[Path | None, Meta(description="The same as DIRECTORY.", extra={"flags": ("-d", "--dir")})] = None
    run: OneRun = None
    keys: WithKeys = False
    history: WithHistory = False
    stats: WithStats = False
    stability: WithStability = False
    metrics: Metrics = ()
    samples: Samples = None
    window: Points = None

    @property
    def path(self) -> str | None:
        """What is named; None: the project."""
        return self.directory or self.dir


PathQuery: TypeAlias = Local | TensorBoard
