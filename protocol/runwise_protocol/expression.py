"""`parse`: a condition about a run, such as ``min(val/loss) < 2 and state == finished``, as a tree.

======================================= ==========================================================================
``A < B``, ``<= > >= == != ~``          ``=`` is ``==``; ``~`` means contains, upper and lower case alike
``val/loss``, ``last(val/loss)``        the metric's last value; also ``first min max mean best``, ``val/loss@best``
``nan(KEY)``, ``nan(grad/*) > 3``       how many of its points are NaN or infinite; alone: whether any is
``config.model.d``, ``summary.acc``     a value of the configuration or of the summary
``step exit_code age runtime``          ``age`` is the time since the last update; times are ``30s 10m 3h 2d 1h30m``
``state name id group tag project``     texts, compared with a word: ``tag == baseline``
``2*loss@best``, ``loss - 1``           ``* / + -``; in a name ``/`` and ``-`` are letters: set them apart by spaces
``finished``, ``failed`` …              the same as ``state == finished``
``and``, ``or``, ``not``, ``( )``       ``not`` binds closest, then ``and``
``new(KEY)``, ``stalled>10m``,          hold only while one waits for them
``anomaly``
======================================= ==========================================================================

Odd names stand in backticks or quotation marks; one that is also a word of the grammar, in backticks. What stands to
the right of a text, or of ``==``, ``!=`` and ``~`` behind a configuration value, is a word and no metric.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple, TypeAlias, cast

from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.expression_tree import (
    PARTS,
    PROPERTIES,
    STATES,
    UNITS,
    And,
    Arithmetic,
    Comparison,
    Duration,
    Expression,
    Field,
    Metric,
    Nonfinite,
    Not,
    Number,
    Operand,
    Operator,
    Or,
    Part,
    Property,
    Text,
    Waiting,
    kind_of,
    leaves,
)
from runwise_protocol.expression_tree import names as names

EXAMPLE = "min(val/loss) < 2 and state == finished"
MOST_CHARACTERS = 1000
_MOST_DEPTH = 40
_MOST_TERMS = 20
"""Operands in one sum or product."""

_LETTER = r"[\w./@:-]"
_SPACE = re.compile(r"\s*")
_DIGITS = r"\d+(?:_\d+)*"
_AMOUNT = rf"(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?\d+)?"
_NUMBER = re.compile(rf"[+-]?(?:{_AMOUNT}|inf|nan)(?!{_LETTER}|\s*\()", re.ASCII)
_DURATION = re.compile(rf"(?:{_AMOUNT}[dhms])+(?!{_LETTER})", re.ASCII)
_LENGTH = re.compile(rf"({_AMOUNT})([dhms])", re.ASCII)
_WORD = re.compile(rf"[\w./@]{_LETTER}*")
_PATTERN = re.compile(r"[\w./@:*?\[\]-]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`(?:[^`\\]|\\.)*`', re.DOTALL)
_OPERATOR = re.compile(r"<=|>=|==|!=|<|>|=|~")
_CONNECTIVE = re.compile(rf"(?:and|or)(?!{_LETTER})")


class _Word(NamedTuple):
    """A word that stands for a metric or for itself: what it is compared with tells."""

    text: str
    bare: bool


class _Literal(NamedTuple):
    """A number or a time, and how it was written: compared with a text it is that."""

    value: Number | Duration
    text: str


_Loose: TypeAlias = _Word | _Literal | Operand


def parse(text: str) -> Expression:
    """The condition a text states. Raises RunwiseError (usage), with the position of what is wrong and an example."""
    if len(text) > MOST_CHARACTERS:
        message = f"the expression has {len(text)} characters, at most {MOST_CHARACTERS} are read"
        raise RunwiseError(Kind.USAGE, message, f"for example: {EXAMPLE}")
    parser = _Parser(text)
    found = parser.either(0)
    parser.end("and, or or the end")
    return found


def parse_operand(text: str) -> Operand:
    """What one side of a comparison may be: ``val/loss``, ``min(val/loss)``, ``config.lr``. Raises as `parse`."""
    parser = _Parser(text[: MOST_CHARACTERS + 1])
    found = _known(parser.sum())
    parser.end("the end")
    return found


class _Parser:
    """Reads one text from left to right, by recursive descent."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def either(self, depth: int) -> Expression:
        """Clauses with ``or`` between them."""
        clauses = [self._both(depth)]
        while self._take_word("or"):
            clauses.append(self._both(depth))
        return clauses[0] if len(clauses) == 1 else Or(tuple(clauses))

    def _both(self, depth: int) -> Expression:
        clauses = [self._single(depth)]
        while self._take_word("and"):
            clauses.append(self._single(depth))
        return clauses[0] if len(clauses) == 1 else And(tuple(clauses))

    def _single(self, depth: int) -> Expression:
        if depth > _MOST_DEPTH:
            raise self._wrong(f"nested more than {_MOST_DEPTH} deep")
        if self._take_word("not"):
            return Not(self._single(depth + 1))
        if self._take("("):
            found = self.either(depth + 1)
            if not self._take(")"):
                raise self._wrong("expected ')'")
            return found
        return self._clause()

    def _clause(self) -> Expression:
        self._skip()
        start = self._at
        left = self.sum()
        if isinstance(left, Waiting):
            return left
        op = self._operator()
        if op is None:
            return self._alone(left, start)
        self._skip()
        at = self._at
        if left == _Word("stalled", True) and op in (">", ">="):
            right = self.sum()
            if not (isinstance(right, _Literal) and isinstance(right.value, Duration)):
                raise self._wrong("expected a time such as 10m", at)
            return Waiting("stalled", seconds=right.value.seconds)
        return self._compared(op, left, self.sum(), start, at)

    def _alone(self, left: _Loose | Waiting, start: int) -> Expression:
        """A clause without an operator."""
        if isinstance(left, Nonfinite):
            return Comparison(">", left, Number(0.0))
        if isinstance(left, _Word) and left.bare and left.text in STATES:
            return Comparison("==", Property("state"), Text(left.text))
        if left == _Word("anomaly", True):
            return Waiting("anomaly")
        if left == _Word("stalled", True):
            raise self._wrong("stalled needs a time", hint="stalled>10m")
        shown = self._text[start : self._at].strip()
        raise self._wrong(f"expected a comparison such as < 2 after {_shown(shown)}")

    def _compared(
        self, op: Operator, left: _Loose | Waiting, right: _Loose | Waiting, start: int, at: int
    ) -> Comparison:
        if isinstance(left, Waiting) or isinstance(right, Waiting):
            raise self._wrong("new() and anomaly are compared with nothing", start)
        first = _known(left)
        kind = kind_of(first)
        wordy = kind == "text" or op == "~" or (kind == "any" and op in ("==", "!=") and isinstance(right, _Word))
        second = Text(right.text) if wordy and isinstance(right, _Word | _Literal) else _known(right)
        self._check(op, first, second, start, at)
        return Comparison(op, first, second)

    def _check(self, op: Operator, left: Operand, right: Operand, start: int, at: int) -> None:
        """Refuse a comparison without sense."""
        kinds = kind_of(left), kind_of(right)
        if all(isinstance(leaf, Number | Duration | Text) for side in (left, right) for leaf in leaves(side)):
            raise self._wrong("nothing of the run is compared", start)
        if op == "~" and (kinds[0] in ("number", "time") or not isinstance(right, Text)):
            raise self._wrong("~ looks for a word in a text", start, "name ~ baseline")
        if "text" in kinds and op not in ("==", "!=", "~"):
            raise self._wrong("a text is compared with ==, != or ~", start, "name == baseline")
        if "any" in kinds or kinds[0] == kinds[1]:
            return
        if "text" in kinds:
            raise self._wrong("a text and a number do not compare", at, "name == baseline")
        raise self._wrong("a time compares with a time, such as 30s, 10m, 3h or 2d", at, "age < 2d")

    def sum(self) -> _Loose | Waiting:
        """Operands with ``+`` and ``-`` between them."""
        start = self._at
        found = self._product()
        count = 1
        while op := self._take("+") or self._take("-"):
            found = self._joined(op, found, self._product(), start)
            count = self._counted(count)
        return found

    def _product(self) -> _Loose | Waiting:
        start = self._at
        found = self._operand()
        count = 1
        while op := self._take("*") or self._take("/"):
            found = self._joined(op, found, self._operand(), start)
            count = self._counted(count)
        return found

    def _counted(self, count: int) -> int:
        if count >= _MOST_TERMS:
            raise self._wrong(f"more than {_MOST_TERMS} operands")
        return count + 1

    def _joined(self, op: str, left: _Loose | Waiting, right: _Loose | Waiting, start: int) -> Operand:
        if isinstance(left, Waiting) or isinstance(right, Waiting):
            raise self._wrong("new() is no number", start)
        one, other = _known(left), _known(right)
        kinds = {kind_of(one), kind_of(other)}
        if "text" in kinds:
            raise self._wrong("a text is no number", start)
        if op in "+-" and "time" in kinds and kinds & {"number"}:
            raise self._wrong("a time and a number do not add", start, "age < runtime + 2d")
        return Arithmetic(op, one, other)  # type: ignore[arg-type]

    def _operand(self) -> _Loose | Waiting:
        self._skip()
        if literal := _QUOTED.match(self._text, self._at):
            return self._in_quotes(self._move(literal))
        if time := _DURATION.match(self._text, self._at):
            seconds = sum(float(count) * UNITS[unit] for count, unit in _LENGTH.findall(time[0]))
            if math.isinf(seconds):
                raise self._wrong("a time without end", hint="age < 2d")
            return _Literal(Duration(seconds), self._move(time))
        if number := _NUMBER.match(self._text, self._at):
            written = self._move(number)
            return _Literal(Number(float(written)), written)
        word = _WORD.match(self._text, self._at)
        if word is None or _CONNECTIVE.fullmatch(word[0]):
            raise self._wrong("expected a metric, a property or a number")
        written = self._move(word)
        if written in (*PARTS, "nan", "new") and self._take("("):
            return self._call(written)
        return self._named(written)

    def _in_quotes(self, written: str) -> _Loose:
        text = re.sub(r"\\(.)", r"\1", written[1:-1], flags=re.DOTALL)
        if self._text.startswith("@best", self._at):
            self._at += len("@best")
            return Metric(text, "best")
        return Metric(text) if written[0] == "`" else _Word(text, False)

    def _named(self, written: str) -> _Loose:
        for source in ("config", "summary"):
            if written.startswith(f"{source}."):
                path = written[len(source) + 1 :]
                if not path and (literal := _QUOTED.match(self._text, self._at)):
                    path = re.sub(r"\\(.)", r"\1", self._move(literal)[1:-1], flags=re.DOTALL)
                elif not path:
                    raise self._wrong(f"expected a name after {source}.", hint="config.lr < 1e-3")
                return Field(source, path)
        if written.endswith("@best") and written != "@best":
            return Metric(written.removesuffix("@best"), "best")
        return _Word(written, True)

    def _call(self, name: str) -> _Loose | Waiting:
        """What a function is asked about, and the closing parenthesis."""
        self._skip()
        pattern = name in ("nan", "new")
        found = _QUOTED.match(self._text, self._at) or (_PATTERN if pattern else _WORD).match(self._text, self._at)
        if found is None:
            hint = f"{name}(grad/*)" if pattern else f"{name}(val/loss) < 2"
            raise self._wrong("expected a metric's name", hint=hint)
        key = self._move(found)
        if key[0] in "\"'`":
            key = re.sub(r"\\(.)", r"\1", key[1:-1], flags=re.DOTALL)
        if not self._take(")"):
            raise self._wrong("expected ')'")
        if name == "new":
            return Waiting("new", key)
        return Nonfinite(key) if name == "nan" else Metric(key, cast(Part, name))

    def _operator(self) -> Operator | None:
        self._skip()
        found = _OPERATOR.match(self._text, self._at)
        if found is None:
            return None
        written = self._move(found)
        return cast(Operator, "==" if written == "=" else written)

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _move(self, found: re.Match[str]) -> str:
        self._at = found.end()
        return found[0]

    def _take(self, sign: str) -> str:
        """Go past a sign if it comes next."""
        self._skip()
        if not self._text.startswith(sign, self._at):
            return ""
        self._at += len(sign)
        return sign

    def _take_word(self, word: str) -> bool:
        self._skip()
        found = _WORD.match(self._text, self._at)
        if found is None or found[0] != word:
            return False
        self._move(found)
        return True

    def end(self, expected: str) -> None:
        """Refuse anything that is left."""
        self._skip()
        if self._text.startswith("%", self._at):
            raise self._wrong("there are no percentages", hint="acc > .5")
        if self._at < len(self._text):
            raise self._wrong(f"expected {expected}")

    def _wrong(self, what: str, at: int | None = None, hint: str = EXAMPLE) -> RunwiseError:
        """What to raise."""
        at = self._at if at is None else at
        rest = self._text[at:].strip()
        found = f", found {_shown(rest)}" if rest else ", found the end"
        message = f"at character {at + 1}: {what}{found if what.startswith('expected') else ''}"
        return RunwiseError(Kind.USAGE, message, f"for example: {hint}")


def _known(loose: _Loose | Waiting) -> Operand:
    """A word on its own is a property or a metric."""
    if isinstance(loose, _Literal):
        return loose.value
    if isinstance(loose, _Word):
        return Property(loose.text) if loose.bare and loose.text in PROPERTIES else Metric(loose.text)
    assert not isinstance(loose, Waiting)
    return loose


def _shown(text: str) -> str:
    return repr(text if len(text) <= 30 else f"{text[:29]}…")
