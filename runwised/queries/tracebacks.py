"""Finding the last traceback, or else the lines that speak of an error, in console output read from its end."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from runwised.index.view import Line

HEAD = "Traceback (most recent call last):"

_CHAINED = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_MOST = 2000
"""Lines of one traceback: Python itself folds endless recursion, so more is no traceback."""
_RANKS = 256
"""Lines of other processes that may stand between two of one traceback."""
_MESSAGE = 40
"""Lines an exception's message may go on for."""
_AT_ONCE_SECONDS = 1.0
"""A message is written together with its traceback; what comes later is something else."""
_LOOKED_AT = 4000
"""Characters of a line that are searched for words of error."""
_ERROR = re.compile(
    r"(?:Error|Exception|Interrupt)\b|\b(?:ERROR|FATAL|CRITICAL)\b|\b(?:fatal|error):|\bAborted\b|\bKilled\b|Bus error"
    r"|core dumped|\bSIG(?:KILL|TERM|SEGV|ABRT|BUS|INT)\b|Segmentation fault|\bout of memory\b|\bOOM\b|oom-kill"
    r"|\bCUDA error\b|device-side assert|\bNCCL (?:error|failure|WARN)|\b[Aa]ssertion .{0,80}failed"
)
_SIGNS = (
    *("rror", "ERROR", "xception", "nterrupt", "FATAL", "CRITICAL", "fatal", "Aborted", "Killed", "core dumped", "SIG"),
    *("Segmentation", "memory", "OOM", "oom-kill", "device-side", "NCCL", "ssertion"),
)
"""One of them is in every line that `_ERROR` fits: looking for them first is many times faster."""


def speaks_of_error(line: Line) -> bool:
    """Whether a line looks like an error: the name of an exception, a signal, memory, CUDA or NCCL trouble."""
    text = line.text[:_LOOKED_AT]
    return may_speak_of_error(text) and _ERROR.search(text) is not None


def may_speak_of_error(text: str) -> bool:
    """False: no line of the text looks like an error."""
    return any(sign in text for sign in _SIGNS)


def last_traceback(newest_first: Iterable[Line]) -> list[Line]:
    """The last traceback with those it was chained to, in the order they were printed; empty when there is none.

    Standard output and error are told apart, and so are ranks that begin their lines with a mark (``[rank0]: ``).
    Holds a bounded number of lines.
    """
    after: dict[bool, deque[Line]] = {False: deque(maxlen=_MOST), True: deque(maxlen=_MOST)}
    lines = iter(newest_first)
    for line in lines:
        below = after[line.stderr]
        if HEAD in line.text:
            earlier = (other for other in lines if other.stderr == line.stderr)
            if _in_group(line.text):
                return _group(line, below, earlier)
            mark = _mark(line, below)
            return [*_chain(earlier, mark), line, *_body(below, mark)]
        below.appendleft(line)
    return []


def _mark(head: Line, below: Iterable[Line]) -> str:
    """What each line of the traceback begins with: what stands before its head, if other lines begin so too."""
    before = head.text.partition(HEAD)[0]
    return before if any(line.text.startswith(before) for line in islice(below, _RANKS)) else ""


def _body(below: Iterable[Line], mark: str) -> Iterator[Line]:
    """The frames, the exception, and its message as far as it goes on."""
    raised: Line | None = None
    count = 0
    for line in below:
        if not line.text.startswith(mark):
            continue
        rest = line.text.removeprefix(mark)
        if raised is None:
            raised = None if not rest or rest[0].isspace() else line
            yield line
            continue
        count += 1
        later = line.time - raised.time > _AT_ONCE_SECONDS
        if later or count > _MESSAGE or not rest.strip() or rest.startswith("wandb:") or HEAD in rest:
            return
        yield line


def _chain(earlier: Iterable[Line], mark: str) -> list[Line]:
    """The tracebacks above, as long as each is joined to the next by Python's own words."""
    found: deque[Line] = deque()
    pending: deque[Line] = deque(maxlen=_MOST)
    joined = False
    for line in earlier:
        if not line.text.startswith(mark):
            continue
        rest = line.text.removeprefix(mark)
        pending.appendleft(line)
        if joined and HEAD in rest:
            found.extendleft(reversed(pending))
            pending.clear()
            joined = False
        elif rest.rstrip() in _CHAINED:
            joined = True
        elif (rest.strip() and not joined) or len(pending) == _MOST:
            break
    return list(found)


def _in_group(text: str) -> bool:
    """Whether a head belongs to an exception group, whose lines are drawn beside a rail of ``|`` and ``+``."""
    return text.lstrip()[:2] in ("| ", "+ ")


def _group(head: Line, below: Iterable[Line], earlier: Iterable[Line]) -> list[Line]:
    found = deque([head])
    for line in below:
        if line.text.lstrip()[:1] not in ("|", "+"):
            break
        found.append(line)
    for line in earlier:
        if line.text.lstrip()[:1] not in ("|", "+") or len(found) > _MOST:
            break
        found.appendleft(line)
    return list(found)
