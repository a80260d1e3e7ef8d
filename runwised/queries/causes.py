"""Why a program ended, as the end of its console tells: a closed list of causes, and the lines that show one."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from runwised.index.view import Line
from runwised.queries.tracebacks import HEAD, last_traceback, speaks_of_error

_LINES = 2000
"""Lines from the end of the console that are searched for a traceback and for a checkpoint,"""
_LAST = 100
"""and for a cause without a traceback."""
_LOOKED_AT = 1000
"""Characters of a line that are searched."""

_CHECK = "stopped by a check for NaN"
_CAUSES = (
    (
        "GPU out of memory",
        r"OutOfMemoryError: (?:CUDA|HIP|XPU|MPS)|(?:CUDA|HIP) out of memory|CUDA_ERROR_OUT_OF_MEMORY"
        r"|CUBLAS_STATUS_ALLOC_FAILED|MPS backend out of memory|RESOURCE_EXHAUSTED|\bcuda runtime error \(2\)",
    ),
    (
        "host out of memory",
        r"\boom-kill|\boom_kill|\bOOM[ -]?[Kk]ill|Out of memory: Killed process|\bMemoryError\b"
        r"|DefaultCPUAllocator: (?:can't|not enough)|Cannot allocate memory|std::bad_alloc"
        r"|exceeded (?:job )?memory limit",
    ),
    ("disk full", r"No space left on device|\[Errno 28\]|Disk quota exceeded|\[Errno 122\]"),
    (
        _CHECK,
        r"(?:[Ll]oss|LOSS|[Gg]radients?|[Gg]rad(?:_norm)?)\b.{0,60}?\b(?:is|are|was|became|contains?|got)\s{0,3}"
        r"(?:now )?(?:nan|NaN|inf|not finite|non-?finite)\b"
        r"|returned nan values|FloatingPointError|(?:[Nn]a[Nn]|[Nn]on-?finite) (?:loss|gradient)s?\b"
        r"|(?:[Nn]a[Nn]|NAN) .{0,40}(?:stopping|aborting|terminat)",
    ),
    (
        "CUDA error",
        r"CUDA error\b|device-side assert|illegal memory access|CUBLAS_STATUS_|CUDNN_STATUS_|\bcuDNN error\b"
        r"|uncorrectable ECC|\bXid\b.{0,40}\d|CUDA driver (?:version|error)|no kernel image is available",
    ),
    (
        "time limit",
        r"DUE TO TIME LIMIT|[Tt]ime limit (?:reached|exceeded)|walltime .{0,40}exceeded|TIMEOUT .{0,20}job",
    ),
    (
        "NCCL or another process of the group failed",
        r"\bNCCL (?:error|failure)|ncclSystemError|ncclInternalError|ncclRemoteError|ncclUnhandledCudaError"
        r"|ProcessGroupNCCL.{0,200}(?:timeout|timed out|terminat)|Watchdog caught collective operation timeout"
        r"|DistBackendError|ChildFailedError|Connection closed by peer",
    ),
    ("import error", r"\bModuleNotFoundError\b|\bImportError\b"),
    (
        "shapes that do not fit",
        r"mat1 and mat2 shapes cannot be multiplied|[Ss]izes? of tensors? must match|size of tensor a .{0,60}must match"
        r"|size mismatch|[Ss]hape mismatch|shapes .{0,60}not aligned|could not be broadcast together"
        r"|[Ee]xpected .{0,80}(?:shape|size|dimension|channels).{0,80}\bgot\b"
        r"|shape '\[.{0,60}is invalid for input of size"
        r"|[Ii]ncompatible shapes",
    ),
    (
        "killed by a signal",
        r"\bSIG(?:KILL|TERM|SEGV|ABRT|BUS|INT|HUP)\b|Segmentation fault|\bBus error\b|core dumped|\bAborted\b"
        r"|^\s*Killed\s*$|CANCELLED AT|PREEMPT(?:ED|ION)",
    ),
)
"""What the words mean, the more telling first: a process that runs out of memory takes its group along."""
_PATTERNS = tuple((cause, re.compile(pattern)) for cause, pattern in _CAUSES)
_CHECKED = dict(_PATTERNS)[_CHECK]
_STOPS = re.compile(r"\b(?:stop|abort|terminat|exit)", re.IGNORECASE)
"""Without a traceback, a line about NaN tells of an end only with one of these words."""
_SIGNALS = {1: "HUP", 2: "INT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 10: "USR1", 11: "SEGV", 15: "TERM"}
_RAISED = re.compile(r"(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?::|\s*$)")
_SAVED = re.compile(r"\bsav(?:e|ed|ing)\b", re.IGNORECASE)
_CHECKPOINT = re.compile(r"(?:\w\.(?:pt|pth|ckpt|safetensors)|checkpoint-\d+(?:/[\w.-]+)?/?)$", re.ASCII)
_BETWEEN = re.compile(r"[\s'\"`()\[\],;]+")


class Ending(NamedTuple):
    """What a console tells of its program's end."""

    cause: str | None
    """None: it tells none."""
    lines: list[str]
    """Those that show it, as they were printed; without a cause the last one printed."""
    traceback: bool
    """Whether they are of a traceback."""
    late: bool = True
    """Whether they stand among the last lines: an exception further back may have been survived."""


def ending(newest_first: Sequence[Line]) -> Ending:
    """Why a program that ended badly did. Its last traceback says it, or else the words of its last lines.

    That a group of processes failed, or a signal came, has a reason of its own: that is looked for then.
    """
    trace = [line.text for line in last_traceback(newest_first)]
    shown = gist(trace) if trace else []
    recent = bool(trace) and any(line.text == trace[-1] for line in newest_first[:_LAST])
    named = _first_of(trace[trace.index(shown[-1]) :] if trace and shown[-1] in trace else shown[-1:])
    if trace and (named is None or named[0] not in _SECONDARY):
        return Ending(named[0] if named else raised(shown[-1]), shown, True, recent)
    printed = [line.text for line in newest_first[:_LAST] if line.text.strip()]
    spoken = _first_of(text for text in printed if not _CHECKED.search(text[:_LOOKED_AT]) or _STOPS.search(text))
    if trace and named and (spoken is None or spoken[0] in _SECONDARY):
        return Ending(named[0], shown, True, recent)
    if spoken:
        return Ending(spoken[0], [spoken[1].strip()], False)
    error = next((line.text.strip() for line in newest_first[:_LAST] if speaks_of_error(line)), None)
    last = error or next(iter(printed), "").strip()
    return Ending(None, [last] if last else [], False)


_SECONDARY = frozenset({"NCCL or another process of the group failed", "killed by a signal"})
"""Causes that have one themselves."""


def _first_of(lines: Iterable[str]) -> tuple[str, str] | None:
    """The most telling cause that one of these lines speaks of, and the first such line."""
    texts = [text[:_LOOKED_AT] for text in lines]
    for cause, pattern in _PATTERNS:
        for text in texts:
            if pattern.search(text):
                return cause, text
    return None


def is_end(found: Ending) -> bool:
    """Whether this alone says that a program ended badly, where nothing else tells how it ended."""
    return found.cause is not None and found.late and (found.traceback or found.cause not in _SURVIVED)


_SURVIVED = frozenset({"import error", "shapes that do not fit", "NCCL or another process of the group failed"})
"""Causes that programs also print of what they did without."""


def last_lines(newest_first: Iterable[Line]) -> list[Line]:
    """As many lines as are looked at."""
    return list(islice(newest_first, _LINES))


def gist(trace: Sequence[str]) -> list[str]:
    """The last frame of a traceback, and what was raised there."""
    head = max(at for at, text in enumerate(trace) if HEAD in text)
    mark = trace[head].partition(HEAD)[0]
    lines = [text.removeprefix(mark) for text in trace[head + 1 :]]
    frames = [at for at, text in enumerate(lines) if text.lstrip().startswith('File "')]
    below = lines[frames[-1] + 1 :] if frames else lines
    said = next((text for text in below if text.strip() and not text[0].isspace()), trace[-1])
    return [*(lines[at].strip() for at in frames[-1:]), said.strip()]


def raised(line: str) -> str:
    """The exception that a traceback's last line names, if it is one of Python's own; else just ``exception``."""
    match = _RAISED.match(line[:_LOOKED_AT].strip())
    kind = getattr(builtins, match[1], None) if match else None
    return kind.__name__ if isinstance(kind, type) and issubclass(kind, BaseException) else "exception"


def signal_of(exit_code: int | None) -> str | None:
    """The cause an exit code tells: a signal, as ``-9`` or as a shell's ``137``."""
    if exit_code is None:
        return None
    number = -exit_code if exit_code < 0 else exit_code - 128
    return f"killed by SIG{_SIGNALS[number]}" if number in _SIGNALS else None


def saved(newest_first: Iterable[Line]) -> str | None:
    """The last checkpoint whose saving a line speaks of."""
    for line in newest_first:
        text = line.text[:_LOOKED_AT]
        if _SAVED.search(text):
            words = [word.rstrip(".:!") for word in _BETWEEN.split(text)]
            paths = [word for word in words if _CHECKPOINT.search(word)]
            if paths:
                return paths[-1]
    return None
