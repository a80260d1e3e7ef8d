"""What a line of text says, by its shape alone: which of its numbers is the step, which are metrics and of what name.

A line is a row when it holds a word that counts (``step 100``) and a metric with a point, an exponent, NaN or an
infinity; or when a metric's name says that it is a result (``val loss 3.2``). Everything else gives nothing: prose,
tables of settings, addresses, dates. There is no list of programs here: a step, and numbers with a name, are found by
the same rules in every line.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple

from runwised.formats.record import NO_HINTS, Hints
from runwised.formats.text_numbers import Number
from runwised.formats.text_pairs import NUMBER, Field, dict_fields, named_after, number_of, piece_fields, pieces
from runwised.formats.text_prefix import CleanLine, Stamp, cut_prefix, cut_suffix
from runwised.formats.text_words import ASIDE, LEADS, PHASES, STEP_WORDS, likely, measures

LONGEST_RECORD = 1 << 16
"""Bytes of a record above which it is no row."""
_LONGEST_SHAPE = 1 << 14


class Kind(IntEnum):
    """Where a line's step comes from."""

    STEP = 0
    EPOCH = 1
    """Its step is the epoch."""
    LOOSE = 2
    """It says none."""
    DICT = 3
    """It says none, and is one printed dict, as Hugging Face's Trainer prints its rows."""
    BAR = 4
    """A progress bar: ``10/100``."""
    COUNT = 5
    """Its step is ``[10/100]``, without a word."""


class Shape(NamedTuple):
    """What all lines of one shape say."""

    kind: Kind
    fields: tuple[Field, ...] = ()
    """None: the line only says how far the program is."""
    step: Number | None = None
    total: Number | None = None
    epoch: Number | None = None
    stamp: Stamp | None = None
    aside: bool = False
    """An evaluation's numbers: they do not count the training's progress."""


class _Counted(NamedTuple):
    """The step of a line, and the stretch of text that says it."""

    start: int
    end: int
    step: Number
    total: Number | None
    epoch: Number | None = None
    kind: Kind = Kind.STEP
    aside: bytes = b""


_COUNT = (
    rb"(?P<mode>\([a-z]+\))?(?:\s*[:=#]\s*|\s+#?\s*|(?=[\[0]))\[?\s*(?P<n>0(?:,0)*)(?:\s*/\s*(?P<total>0(?:,0)*))?\s*\]?"
    rb"(?![\w.%*+~]|[:/,-]0)(?!\s*/\s*[\d?])"
)
_EPOCH_COUNT = re.compile(
    rb"\b(?:epoch|train)\s*(?P<mode>\([a-z]+\))?[:\s]*\[?\s*(?P<epoch>0)(?:/0)?\s*\]?:?[,\s]*\[?\s*(?P<n>0)\s*/\s*(?P<total>0)"
    rb"(?:\s*\(\s*0(?:\.0)?\s*%\s*\))?\s*\]?(?=[\s:,|]|$)",
    re.IGNORECASE,
)
_BARE_COUNT = re.compile(rb"\[\s*(?P<n>0)\s*/\s*(?P<total>0)\s*\]")
_TERSE = re.compile(rb"(?:s[:=](?=0\s)|\[(?=0\]\t)|(?=0:\t))(?P<n>0)\]?")
_SWITCH = re.compile(rb"[=:] ?(?:True|False|None)\b")
_MANY_SWITCHES = 3
"""A line with so many of them prints settings."""
_RULE = b" \t:,|-=*#~_"
"""What a line is decorated with."""
_BAR = re.compile(
    rb"(?P<name>[^|%]*?)\s*:?\s*\b0%\|[^|]*\|\s*(?P<n>0)/(?P<total>0)\s*\[[^\]<]*<[^\],]*(?:,\s*[^\],]*)?(?P<inner>(?:,[^\]]*)?)\]"
)
_BAR_EPOCH = re.compile(rb"epoch\s*[:#\[]?\s*(?P<epoch>0)", re.IGNORECASE)
_LEADING = re.compile(rb"\s*(?P<word>[A-Za-z]+)(?P<set>\s+set)?(?P<end>:\s+(?!-?[0.])|\s|$)")
_IDLE = re.compile(rb"(?:[^A-Za-z]|(?<=0)[A-Za-z]+(?:/[A-Za-z]+)?)*|\s*ETA\b.*")
_LETTERS = re.compile(rb"[A-Za-z]{2}")
_PLACEHOLDER = re.compile(r"\\\{(\w[^{}]*)\\\}")


class Grammar:
    """Reads shapes; `hints` add a step's key and lines that are known to be rows."""

    def __init__(self, hints: Hints = NO_HINTS) -> None:
        self._own_word = hints.step_key.lower().encode()
        words = [self._own_word] if self._own_word else []
        words += [word for word in STEP_WORDS if word not in words]
        self._counts = [
            re.compile(rb"(?<![\w.-])(?P<word>" + re.escape(word) + rb")" + _COUNT, re.IGNORECASE) for word in words
        ]
        self._epoch = self._counts[words.index(b"epoch")]
        self._words = words
        self._templates = [template_pattern(template) for template in hints.templates]

    def read(self, shape: bytes) -> Shape | None:
        """What lines of a shape say; None: nothing."""
        if len(shape) > _LONGEST_SHAPE:
            return None
        if self._templates:
            found = self._by_template(CleanLine(shape))
            if found is not None:
                return found
        line = CleanLine(shape)
        if not likely(line.text) and (not self._own_word or self._own_word not in line.text.lower()):
            return None
        if len(_SWITCH.findall(line.text)) >= _MANY_SWITCHES:
            return None
        start, stamp = cut_prefix(line)
        end = cut_suffix(line)
        bar = _BAR.match(line.text, start, end)
        if bar is not None:
            return _bar(line, bar, end, stamp)
        if line.text[start : start + 1] == b"{":
            return self._dict(line, start, end, stamp)
        return self._line(line, start, end, stamp)

    def _by_template(self, line: CleanLine) -> Shape | None:
        start, stamp = cut_prefix(line)
        text = line.text.rstrip()
        for pattern, names in self._templates:
            found = pattern.fullmatch(text, start) or pattern.fullmatch(text)
            if found is None:
                continue
            step = None
            fields = []
            for group, name in enumerate(names, 1):
                value = NUMBER.match(text, found.start(group))
                number = value and number_of(line, value)
                if not number:
                    continue
                if name == "step":
                    step = number if number.integer else None
                else:
                    fields.append(Field(name.encode(), (), number))
            return Shape(Kind.LOOSE if step is None else Kind.STEP, tuple(fields), step, stamp=stamp)
        return None

    def _dict(self, line: CleanLine, start: int, end: int, stamp: Stamp | None) -> Shape | None:
        fields = dict_fields(line, start, end)
        for word in self._words:
            for field in fields:
                if field.name.lower() == word and word != b"epoch" and field.number.integer and not field.name_runs:
                    rest = tuple(other for other in fields if other is not field)
                    return Shape(Kind.STEP, rest, field.number, stamp=stamp) if _trusted(rest, counted=True) else None
        return Shape(Kind.DICT, tuple(fields), stamp=stamp) if _trusted(fields, counted=False) else None

    def _line(self, line: CleanLine, start: int, end: int, stamp: Stamp | None) -> Shape | None:
        counted = self._counted(line, start, end)
        if counted is None:
            return _loose(line, start, end, stamp)
        fields, prose, aside = _before(line, start, counted.start)
        text = line.text
        rest = text[counted.end : end].lstrip(_RULE)
        if rest.startswith(b"{"):
            fields += dict_fields(line, counted.end, end)
        else:
            for piece in pieces(text, counted.end, end):
                found = piece_fields(line, *_without_colon(text, *piece))
                if found is None and b"|" in text:
                    after = named_after(line, *piece)
                    found = [after] if after else None
                fields += found or ()
        kind, aside = counted.kind, aside or counted.aside
        said = Shape(kind, (), counted.step, counted.total, counted.epoch, stamp, bool(aside))
        if not fields and not prose and not rest and kind is not Kind.COUNT:
            return said
        if not _trusted(
            [field for field in fields if not prose or field.signed], counted=not prose and kind is not Kind.COUNT
        ):
            return None
        return said._replace(fields=_under(aside, fields))

    def _counted(self, line: CleanLine, start: int, end: int) -> _Counted | None:
        """The step of a line: the first word of the list that counts something, and the epoch beside it."""
        text = line.text
        both = _EPOCH_COUNT.search(text, start, end)
        if both is not None:
            step, epoch = _integer(line, both, "n"), _integer(line, both, "epoch")
            if step is not None:
                return _Counted(*both.span(), step, _integer(line, both, "total"), epoch, aside=_mode(both))
        found = next(filter(None, (count.search(text, start, end) for count in self._counts)), None)
        bare = None if found else _TERSE.match(text, start, end) or _BARE_COUNT.search(text, start, end)
        found = found or bare
        step = found and _integer(line, found, "n")
        if not found or step is None:
            return None
        if bare:
            kind = Kind.COUNT if bare.re is _BARE_COUNT else Kind.STEP
            total = _integer(line, bare, "total") if kind is Kind.COUNT else None
            return _Counted(*bare.span(), step, total, kind=kind)
        total = _integer(line, found, "total")
        aside = _mode(found)
        if found["word"].lower() == b"epoch":
            return _Counted(*found.span(), step, total, kind=Kind.EPOCH, aside=aside)
        beside = self._epoch.search(text, start, end)
        if beside is None:
            return _Counted(*found.span(), step, total, aside=aside)
        span = found.span()
        if beside.end() <= span[0] and not _LETTERS.search(text, beside.end(), span[0]):
            span = beside.start(), span[1]
        return _Counted(*span, step, total, _integer(line, beside, "n"), aside=aside)


def template_pattern(template: str) -> tuple[re.Pattern[bytes], list[str]]:
    """A line with ``{name}`` where its numbers stand as an expression over shapes, and the names in order.

    Blanks stand for any number of blanks; digits of the template stand for any digits.
    """
    escaped = re.sub(r"\d+", "0", re.escape(template.strip()))
    names = _PLACEHOLDER.findall(escaped)
    number = r"([-+]?(?:[\\d.,]+(?:[eE][-+]?\\d)?|nan|inf))[A-Za-z%/]*"
    pattern = re.sub(r"(?:\\\s|\s)+", r"\\s+", _PLACEHOLDER.sub(number, escaped))
    plain = [re.sub(r"\\(.)", r"\1", name) for name in re.findall(r"\{([^{}]*)\}", template)]
    return re.compile(pattern.encode(), re.IGNORECASE), plain if len(plain) == len(names) else names


def _mode(found: re.Match[bytes]) -> bytes:
    """The word in ``Epoch(val)`` that sets a line aside."""
    word = bytes((found["mode"] or b"")[1:-1])
    return word if word.lower() in ASIDE else b""


def _integer(line: CleanLine, found: re.Match[bytes], group: str) -> Number | None:
    """A group of a match as a number; None when it did not take part."""
    if found[group] is None:
        return None
    number = NUMBER.match(line.text, *found.span(group))
    return number and number_of(line, number)


def _trusted(fields: list[Field] | tuple[Field, ...], *, counted: bool) -> bool:
    """Whether numbers with a name make a row of a line."""
    real = [field for field in fields if not field.number.integer]
    if counted and real:
        return True
    return any(measures(field.name) for field in (fields if counted else real))


def _bar(line: CleanLine, bar: re.Match[bytes], end: int, stamp: Stamp | None) -> Shape | None:
    """A progress bar, as tqdm draws it; what stands behind its state are metrics."""
    step, total = _integer(line, bar, "n"), _integer(line, bar, "total")
    if step is None:
        return None
    rest = bar.end() + len(line.text[bar.end() : end]) - len(line.text[bar.end() : end].lstrip())
    if line.text[rest : rest + 1] == b"{":
        fields = dict_fields(line, rest, end)
        if _trusted(fields, counted=False):
            return Shape(Kind.DICT, tuple(fields), step, total, stamp=stamp)
    named = _BAR_EPOCH.search(line.text, *bar.span("name"))
    leading = _LEADING.match(bar["name"])
    aside = leading["word"] if leading and leading["word"].lower() in ASIDE else b""
    fields = []
    for piece in pieces(line.text, *bar.span("inner")):
        fields += piece_fields(line, *piece) or ()
    epoch = _integer(line, named, "epoch") if named else None
    return Shape(Kind.BAR, _under(aside, fields), step, total, epoch, stamp, bool(aside))


def _loose(line: CleanLine, start: int, end: int, stamp: Stamp | None) -> Shape | None:
    """A line without a step: a row only if nothing in it talks."""
    text = line.text
    leading = _LEADING.match(text, start, end)
    aside = b""
    if leading and leading["word"].lower() in ASIDE and leading["end"].startswith(b":"):
        aside, start = leading["word"], leading.end()
    fields: list[Field] = []
    for piece in pieces(text, start, end):
        found = piece_fields(line, *piece)
        if found is None and not _IDLE.fullmatch(text, *piece):
            return None
        fields += found or ()
    if not _trusted(fields, counted=False):
        return None
    return Shape(Kind.LOOSE, _under(aside, _of_one_phase(fields)), stamp=stamp)


def _of_one_phase(fields: list[Field]) -> list[Field]:
    """``train Loss: 1 Acc: 2`` says ``train`` of both; as long as no other name says a phase of its own."""
    phase, blank, _ = fields[0].name.partition(b" ")
    others = [field.name.partition(b" ")[0].lower() for field in fields[1:]]
    if not blank or phase.lower() not in PHASES or not PHASES.isdisjoint(others):
        return fields
    return [fields[0], *(field._replace(name=phase + b" " + field.name) for field in fields[1:])]


def _under(aside: bytes, fields: list[Field]) -> tuple[Field, ...]:
    """The fields with the word that sets them aside before their names."""
    return tuple(field._replace(name=aside + b"/" + field.name) if aside else field for field in fields)


def _before(line: CleanLine, start: int, end: int) -> tuple[list[Field], bool, bytes]:
    """What stands before a line's step: numbers with a name; whether it is prose; the word that sets it aside."""
    fields: list[Field] = []
    prose = False
    aside = b""
    for piece in pieces(line.text, start, end):
        leading = _LEADING.match(line.text, *piece)
        word = leading["word"] if leading else b""
        found = piece_fields(line, *piece)
        aside = word if word.lower() in ASIDE else b""
        if found is not None:
            fields += found
        elif not aside and _LETTERS.search(line.text, *piece) and word.lower() not in LEADS:
            prose = prose or b"=" not in line.text[slice(*piece)]
    return fields, prose, aside


def _without_colon(text: bytes, start: int, end: int) -> tuple[int, int]:
    """A piece without the colon that stood behind the step."""
    while start < end and text[start : start + 1] in b" \t:,-)":
        start += 1
    return start, end
