"""What stands around a line's own words: colours, rank tags, time stamps, levels, names of loggers, places in code.

Everything here works on shapes (see `runwised.formats.text_numbers`): a date is ``0-0-0``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from runwised.formats.record import Floats, Ints
from runwised.formats.text_numbers import Number, TextBlock

_ANSI = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_BLANK = re.compile(rb"(?:\xef\xbb\xbf|[\s\x00])+")
_STAMP = re.compile(
    rb"[\[(<]?(?P<date>0(?P<by>[-/.])0(?P=by)0)(?:T|,?\s+|_|:|\s-\s)0:0:0(?P<fraction>[.,:]0)?\s?(?P<zone>Z|UTC|[-+]0(?::0)?(?![\d:.]))?"
    rb"[\])>]?"
)
_CLOCK = re.compile(rb"[\[(<]?0:0:0(?:[.,]0)?[\])>]?(?=[\s,|:-])")
_RANK = re.compile(rb"\[?(?:rank\s?)?0(?:,0)?\](?:<std(?:out|err)>)?:\s?|0: (?=\s*\S)", re.IGNORECASE)
_LEVELS = rb"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|SUCCESS)\b"
_LEVEL = re.compile(rb"\[\s?" + _LEVELS + rb"\s*(?:[|:][\w./:-]+)?\]|[(<]?" + _LEVELS + rb"[)>]?")
_GLOG = re.compile(rb"[IWEF]0 0:0:0\.0\s+0 [\w./-]+:0\]")
_BRACKET = re.compile(rb"\[(?=[^\]]*[A-Za-z])[^\]\[{}=|]*\]")
_PLACE = re.compile(rb"[\w./-]*\.py:0(?::\w+)?")
_PLACE_BEHIND = re.compile(rb"  [\w.-]+\.py:0")
_NAME = re.compile(
    rb"(?P<name>[A-Za-z_<][\w.<>$/-]*(?::[\w.<>-]+)*(?::0)?)(?P<end>\s+-\s+|\s+\|\s+|\s*>>+\s*|\]\s*|:(?=[A-Za-z_])|:\s+)"
)
_PID = re.compile(rb"\(?0\)?(?=[\s:|-]+\S*(?:TRACE|DEBUG|INFO|WARN|ERROR|CRITICAL))")
_BETWEEN = re.compile(rb"\s*(?:-+|\|+|:+|>+|,)?\s+|\s*[-:|>]+\s*|(?=\[)")
_COUNTS = re.compile(rb"\b(?:step|iter|iteration|epoch|update|batch|it)\b|[:=]\s*[-+]?0(?!\d)", re.IGNORECASE)
_COUNT_WORD = re.compile(rb"(?:global_)?(?:step|iter(?:ation)?|epoch|update|batch|it|s)\b", re.IGNORECASE)
_A_NUMBER = re.compile(rb"\s*[-+]?(?:0|\.0|(?:nan|inf)\b)", re.IGNORECASE)


class Stamp(NamedTuple):
    """A date and time of day: six runs of digits, then those of the fraction and the zone."""

    run: int
    fraction: bool
    zone: int
    """Sign of the offset from UTC; 0: none is given."""
    zone_runs: int = 0


class CleanLine:
    """A shape without colours, and which run of digits each of its zeros is."""

    def __init__(self, shape: bytes) -> None:
        self.text = shape
        self._runs: list[int] | None = None
        if b"\x1b" in shape:
            self._strip(shape)

    def _strip(self, shape: bytes) -> None:
        pieces: list[bytes] = []
        runs: list[int] = []
        at = run = 0
        for found in (*_ANSI.finditer(shape), None):
            end = found.start() if found else len(shape)
            piece = shape[at:end]
            pieces.append(piece)
            runs += range(run, run + piece.count(b"0"))
            run += piece.count(b"0")
            if found:
                run += found[0].count(b"0")
                at = found.end()
        self.text, self._runs = b"".join(pieces), runs

    def run(self, at: int) -> int:
        """The number of the first run of digits at or behind a place."""
        count = self.text.count(b"0", 0, at)
        if self._runs is None:
            return count
        return self._runs[count] if count < len(self._runs) else -1

    def runs(self, start: int, end: int) -> tuple[int, ...]:
        """The runs of digits between two places."""
        count = self.text.count(b"0", start, end)
        before = self.text.count(b"0", 0, start)
        runs = range(before, before + count)
        return tuple(runs) if self._runs is None else tuple(self._runs[run] for run in runs)


def cut_prefix(line: CleanLine) -> tuple[int, Stamp | None]:
    """Where a line's own words begin, and the time stamp before them."""
    text = line.text
    at = _skip(_BLANK, text, 0)
    stamp: Stamp | None = None
    logged = False
    while True:
        if found := _STAMP.match(text, at):
            if stamp is None:
                stamp = _stamp(line, found)
            logged = True
        elif found := _GLOG.match(text, at) or _LEVEL.match(text, at):
            logged = True
        elif found := _CLOCK.match(text, at) or _RANK.match(text, at) or _tag(text, at):
            pass
        elif logged:
            found = _PID.match(text, at) or _name(text, at)
        if not found:
            return at, stamp
        at = _skip(_BETWEEN, text, found.end())


def cut_suffix(line: CleanLine) -> int:
    """Where a line's own words end: before blanks, and before a place in the code that stands in a column by itself."""
    text = line.text.rstrip()
    place = text.rfind(b" ") - 1
    if place > 0 and _PLACE_BEHIND.fullmatch(text, place):
        return len(text[:place].rstrip())
    return len(text)


def _skip(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _tag(text: bytes, at: int) -> re.Match[bytes] | None:
    """Something in brackets that neither counts nor measures."""
    found = _BRACKET.match(text, at)
    return None if found is None or _COUNTS.search(_PLACE.sub(b"", found[0])) else found


def _name(text: bytes, at: int) -> re.Match[bytes] | None:
    """A logger's name, or a place in the code, with what parts it from the message."""
    found = _NAME.match(text, at)
    if found is None or _COUNT_WORD.match(found["name"]) or _A_NUMBER.match(text, found.end()):
        return None
    if found["end"].startswith(b":") and b" " in found["end"] and not _PLACE.match(found["name"]):
        return None
    return found


def _stamp(line: CleanLine, found: re.Match[bytes]) -> Stamp:
    zone = found["zone"] or b""
    sign = {b"+": 1, b"-": -1}.get(zone[:1], 0)
    return Stamp(line.run(found.start()), found["fraction"] is not None, sign, zone.count(b"0"))


def stamp_times(block: TextBlock, first: Ints, stamp: Stamp) -> Floats:
    """Epoch seconds of a stamp in the lines whose runs begin at `first`; a stamp that names no zone is taken as UTC.

    Year, month, day; or month, day, year; or day, month, year where the first cannot be a month. NaN where it is no
    date. Days are counted as in H. Hinnant, "chrono-compatible low-level date algorithms" (2013).
    """
    run = first + stamp.run
    a, b, c, hour, minute, second = (block.run_values[run + number].clip(0, 99999) for number in range(6))
    year_first = block.run_sizes[run] == 4
    year = np.where(year_first, a, c)
    month = np.where(year_first, b, np.where(a > 12, b, a))
    day = np.where(year_first, c, np.where(a > 12, a, b))
    shifted = year - (month <= 2)
    era_year = shifted % 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = shifted // 400 * 146097 + era_year * 365 + era_year // 4 - era_year // 100 + day_of_year - 719468
    whole = days * 86400 + hour * 3600 + minute * 60 + second
    valid = (year >= 1970) & (year <= 9999) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    valid &= (hour < 24) & (minute < 60) & (second <= 60)
    zone = stamp.run + 6 + stamp.fraction
    if stamp.zone:
        whole = whole - stamp.zone * _zone_seconds(block, first + zone, stamp.zone_runs)
    times: Floats = whole.astype(np.float64)
    if stamp.fraction:
        times += block.floats(first, Number(stamp.run + 6, whole=0, fraction=True))
    times[~valid] = np.nan
    return times


def _zone_seconds(block: TextBlock, run: Ints, runs: int) -> Ints:
    """The size of an offset from UTC: ``hh``, ``hhmm`` or ``hh:mm``."""
    value = block.run_values[run].clip(0, 9999)
    if runs == 2:
        minutes = value * 60 + block.run_values[run + 1].clip(0, 59)
    else:
        minutes = np.where(block.run_sizes[run] > 2, value // 100 * 60 + value % 100, value * 60)
    seconds: Ints = minutes * 60
    return seconds
