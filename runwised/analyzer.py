"""`RunAnalyzer`: the questions as methods, for programs; every answer is typed, and its `str()` is the text."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias, TypeVar

import msgspec
from runwise_protocol.client import Client, here
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries.about import ConfigReply, NotesReply, ShowConfig, ShowNotes
from runwise_protocol.queries.annotate import NoteRun, Said, TagRun
from runwise_protocol.queries.best import Ranking, RankRuns
from runwise_protocol.queries.compare import Compare, Comparison
from runwise_protocol.queries.diagnose import CheckHealth, Diagnose, Diagnosis, HealthReport
from runwise_protocol.queries.find import FindRuns, FoundRuns
from runwise_protocol.queries.groups import GroupRuns, Groups
from runwise_protocol.queries.history import Curves, History
from runwise_protocol.queries.live import Live, LiveStatus
from runwise_protocol.queries.local import Local, LocalLog, TensorBoard
from runwise_protocol.queries.log import Log, LogLines
from runwise_protocol.queries.metrics import KeyList, ListKeys, ShowStats, StatsTable
from runwise_protocol.queries.rank import Place, Rank
from runwise_protocol.queries.raw import Export, Raw, RawRows
from runwise_protocol.queries.run import Latest, RunSummary, ShowRun
from runwise_protocol.queries.runs import ListRuns, RunEntry, RunList
from runwise_protocol.queries.schema import Learned, LearnSchema
from runwise_protocol.queries.since import News, Since
from runwise_protocol.queries.sources import ListSources, Sources
from runwise_protocol.queries.stability import ShowStability, Stability
from runwise_protocol.queries.sweep import Sweep, SweepRuns
from runwise_protocol.queries.wait import Waited, WaitFor
from runwise_protocol.query import Look, Query, Reply, Where, checked

from runwised.settings import RunwiseConfig

R = TypeVar("R", bound=Reply)
T = TypeVar("T")
Run: TypeAlias = str | RunEntry | RunSummary | None
"""A run: its id, a unique prefix of it, or its name; an answer that is about it; None: the latest."""
Names: TypeAlias = str | Sequence[str]
"""Metric names or globs."""


class RunAnalyzer:
    """Answers questions about one project's runs, through the user's daemon (started when none answers).

    Every method raises RunwiseError: its `kind` tells a run that is not there (``NOT_FOUND``) from a name that fits
    several (``AMBIGUOUS``), its `hint` what to ask instead. One analyzer may serve several threads; `close` it, or use
    it in a ``with`` statement, to let go of its connection.
    """

    def __init__(self, project: RunwiseConfig | str | os.PathLike[str] | None = None, *, look: Look | None = None):
        """`project`: the project's root; or settings, for the folders they name below the working directory; or None:
        the project around the working directory, as on the command line. `look`: how the answers' text is written.

        Raises ValueError when settings hold a schema or thresholds other than those in ``runwise.json``.
        """
        self._project = project
        self._look = look
        self._lock = threading.Lock()
        self._client: Client | None = None
        if isinstance(project, RunwiseConfig):
            _check_schema(project)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; a later question makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def ask(self, question: Query) -> Reply:
        """The answer to any question of `runwise_protocol.queries`; the methods below are these with typed answers.

        Where a method takes `options`, they are further fields of its contract.
        """
        return self._with_client(lambda client, where: client.ask(question, look=self._look, where=where))

    def list_runs(self, limit: int | None = None, state: str | None = None, **options: Any) -> RunList:
        """Every run, newest first; with `state` only those in it."""
        return self._ask(RunList, ListRuns, limit=limit, state=state, **options)

    def get_latest_run(self) -> RunSummary:
        """The run that was started last."""
        return self._ask(RunSummary, Latest)

    def find_run(self, run: str) -> RunSummary:
        """The run that a name, an id or the beginning of one stands for. Raises RunwiseError when it is not one run."""
        return self._ask(RunSummary, ShowRun, run=run, no_spark=True, no_anomalies=True)

    def find_runs(self, pattern: str, limit: int | None = None) -> FoundRuns:
        """Runs with a text, or a glob, in names, ids, tags, notes, groups or configuration."""
        return self._ask(FoundRuns, FindRuns, pattern=pattern, limit=limit)

    def find_best_run(self, key: str, higher_is_better: bool | None = None, **options: Any) -> Ranking:
        """Runs by their best values of a metric; which way is better is known, or guessed, unless it is said."""
        return self._ask(Ranking, RankRuns, key=key, **_way(higher_is_better), **options)

    def summarize_run(self, run: Run = None) -> RunSummary:
        """One run on one page."""
        return self._ask(RunSummary, ShowRun, run=_reference(run))

    def compare_runs(self, *runs: Run, filter: str | None = None, **options: Any) -> Comparison:  # noqa: A002 - the contract's word
        """Runs side by side; with `filter` only metrics whose name has this text."""
        return self._ask(Comparison, Compare, runs=[_reference(run) for run in runs], filter=filter, **options)

    def rank_run(self, run: Run = None, key: str | None = None, **options: Any) -> Place:
        """A run among the earlier ones, each as it was at the same step."""
        return self._ask(Place, Rank, run=_reference(run), key=key, **options)

    def group_runs(self, key: str | None = None, vary: Names = (), **options: Any) -> Groups:
        """Mean and spread of a metric over runs that differ in nothing but `vary`: config keys, found when not said."""
        return self._ask(Groups, GroupRuns, key=key, vary=_names(vary), **options)

    def sweep_runs(self, over: Names = (), key: str | None = None, **options: Any) -> Sweep:
        """Which config keys a metric goes with (`over`, or those that vary), what was tried, and what was best."""
        return self._ask(Sweep, SweepRuns, over=_names(over), key=key, **options)

    def get_live_status(self, *runs: str | RunEntry) -> LiveStatus:
        """What is running now, or what these runs do."""
        return self._ask(LiveStatus, Live, runs=tuple(_reference(run) for run in runs))

    def get_changes(self, cursor: str | None = None, **options: Any) -> News:
        """What is new since a cursor was given; without one all that goes on, and a cursor to begin with."""
        return self._ask(News, Since, cursor=cursor, **options)

    def wait_for(self, until: str, *runs: str | RunEntry, timeout: str = "9m", **options: Any) -> Waited:
        """Return once a condition holds for a run; `fired` is false when the time, or the run, was over first.

        Questions of other threads wait meanwhile: give them an analyzer of their own.
        """
        named = tuple(_reference(run) for run in runs)
        return self._ask(Waited, WaitFor, until=until, runs=named, timeout=timeout, **options)

    def diagnose(self, run: Run = None) -> Diagnosis:
        """Why a run ended, its last good step, and what went bad first."""
        return self._ask(Diagnosis, Diagnose, run=_reference(run))

    def check_health(self, run: Run = None) -> HealthReport:
        """What is wrong with a run, or with each of the newest 50."""
        return self._ask(HealthReport, CheckHealth, run=_reference(run))

    def check_stability(self, run: Run = None, keys: Names = (), **options: Any) -> Stability:
        """How steady curves are: rolling mean and deviation, noise, trend."""
        return self._ask(Stability, ShowStability, run=_reference(run), keys=_names(keys), **options)

    def get_history(
        self,
        run: Run = None,
        keys: Names = (),
        samples: int | None = 500,
        *,
        start: int | None = None,
        end: int | None = None,
        **options: Any,
    ) -> Curves:
        """Curves of at most `samples` buckets each, over the steps from `start` to `end` (inclusive)."""
        asked = {"samples": samples, "start": start, "end": end, **options}
        return self._ask(Curves, History, run=_reference(run), keys=_names(keys), **asked)

    def get_history_stats(self, run: Run = None, keys: Names = ()) -> StatsTable:
        """Exact statistics over every logged value."""
        return self._ask(StatsTable, ShowStats, run=_reference(run), keys=_names(keys))

    def get_rows(self, run: Run = None, keys: Names = (), **options: Any) -> RawRows:
        """Exact rows: the last ones, those of a `step` or `row`, or all that was around the step `at`."""
        return self._ask(RawRows, Raw, run=_reference(run), keys=_names(keys), **options)

    def export_rows(self, out: BinaryIO, run: Run = None, keys: Names = (), *, raw: bool = False) -> None:
        """Write every row to `out` as JSON lines (with a `look` of form ``csv``, as CSV); `raw`: voided ones too.

        Raises OSError when `out` does.
        """
        question = _question(Export, {"run": _reference(run), "keys": _names(keys), "raw": raw})
        self._with_client(lambda client, where: client.write(question, self._look, where, out))

    def list_available_keys(self, run: Run = None, keys: Names = ()) -> KeyList:
        """The keys a run logged, with kind and count."""
        return self._ask(KeyList, ListKeys, run=_reference(run), keys=_names(keys))

    def get_config(self, run: Run = None, keys: Names = (), **options: Any) -> ConfigReply:
        """A run's configuration; what looks like a secret is hidden unless `show_secrets` is set."""
        return self._ask(ConfigReply, ShowConfig, run=_reference(run), keys=_names(keys), **options)

    def get_notes(self, run: Run = None) -> NotesReply:
        """A run's notes, tags, group and alerts."""
        return self._ask(NotesReply, ShowNotes, run=_reference(run))

    def tag_run(self, run: Run, *tags: str, remove: bool = False) -> Said:
        """Give a run tags, or take them off; its log stays as it is."""
        return self._ask(Said, TagRun, run=_reference(run), tags=tags, remove=remove)

    def note_run(self, run: Run, text: str | None, *, append: bool = False) -> Said:
        """Write a note about a run (None takes yours away); its log stays as it is."""
        return self._ask(Said, NoteRun, run=_reference(run), text=text, append=append, clear=text is None)

    def get_log(self, run: Run = None, tail: int | None = None, **options: Any) -> LogLines:
        """What a run printed: its last lines, or what `grep`, `errors` or `novel` choose."""
        return self._ask(LogLines, Log, run=_reference(run), tail=tail, **options)

    def list_sources(self, run: Run = None) -> Sources:
        """Which files the answers stand on (of one run, or of all), and why others were not read."""
        return self._ask(Sources, ListSources, run=_reference(run), all=True)

    def learn_schema(self) -> Learned:
        """What the project's metrics seem to mean, as `runwise.json` would say it."""
        return self._ask(Learned, LearnSchema)

    def analyze_local_log(
        self, path: str | os.PathLike[str] | None = None, run: str | None = None, **options: Any
    ) -> LocalLog:
        """A log, a store or a folder of logs, wherever it lies; without a path the project's logs that are not W&B's.

        One run is shown as `summarize_run` shows it, several as `list_runs` does; `run` picks one.
        """
        return self._ask(LocalLog, Local, file=None if path is None else os.fspath(path), run=run, **options)

    def analyze_tensorboard(
        self, path: str | os.PathLike[str] | None = None, run: str | None = None, **options: Any
    ) -> LocalLog:
        """TensorBoard event files, as `analyze_local_log` does; without a path the project's."""
        directory = None if path is None else os.fspath(path)
        return self._ask(LocalLog, TensorBoard, directory=directory, run=run, **options)

    def _ask(self, reply: type[R], query: type[Query], **fields: Any) -> R:
        answer = self.ask(_question(query, fields))
        assert isinstance(answer, reply)
        return answer

    def _with_client(self, do: Callable[[Client, Where], T]) -> T:
        with self._lock:
            try:
                self._client = self._client or Client.connect()
                return do(self._client, self._where())
            except BaseException:
                self.close()  # what is left of an answer must not be taken for the next one
                raise

    def _where(self) -> Where:
        if self._project is None:
            return here()
        if not isinstance(self._project, RunwiseConfig):
            if not os.path.isdir(self._project):  # noqa: PTH112 - as below
                raise RunwiseError(Kind.NOT_FOUND, f"no folder {self._project}", "RunAnalyzer('path/to/project')")
            root = os.path.abspath(self._project)  # noqa: PTH100 - does not follow links, as the command line does not
            return Where(cwd=root, environ={"RUNWISE_PROJECT_ROOT": root})
        logs = os.pathsep.join(filter(None, (self._project.logs_dir, *self._project.log_dirs)))
        folders = {"RUNWISE_WANDB_DIR": self._project.wandb_dir, "RUNWISE_LOGS_DIR": logs}
        where = here()
        return Where(cwd=where.cwd, environ={**where.environ, **{name: at for name, at in folders.items() if at}})


def _reference(run: Run) -> str | None:
    if isinstance(run, RunSummary):
        return run.run.id
    return run.id if isinstance(run, RunEntry) else run


def _question(query: type[Query], fields: dict[str, Any]) -> Any:
    try:
        return checked(query, fields)
    except msgspec.ValidationError as error:
        raise RunwiseError(Kind.USAGE, str(error)) from error


def _way(higher_is_better: bool | None) -> dict[str, bool]:
    return {} if higher_is_better is None else {"max": higher_is_better, "min": not higher_is_better}


def _names(keys: Names) -> list[str]:
    return [keys] if isinstance(keys, str) else list(keys)


def _check_schema(config: RunwiseConfig) -> None:
    """The daemon reads a project's schema from its `runwise.json`: another one would be passed over in silence."""
    path = Path("runwise.json")
    known = RunwiseConfig.parse(path.read_bytes()) if path.is_file() else RunwiseConfig()
    if _judgements(config) != _judgements(known):
        raise ValueError(f"schema, templates or thresholds given are not those in {path.absolute()}: write them there")


def _judgements(config: RunwiseConfig) -> tuple[object, ...]:
    return config.schema, config.anomaly_detection, config.log_templates
