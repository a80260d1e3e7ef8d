"""Tells W&B keys apart by few of their bytes, and verifies them by all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runwised.formats.json_value import DEEPEST
from runwised.formats.protowire import text
from runwised.formats.record import Ints, Path, escape
from runwised.formats.wandb_fast_words import WORD, Flags, Window, Words

_KEY_TAG, _PART_TAG = 0x0A, 0x12
_VALUE_TAG = b"\x82\x01"

_LONGEST_SPELLING = 132
_MOST_KEYS = 1 << 12
"""More are left unknown: where every row brings new keys, learning them does not pay."""
_MOST_LEVELS = 16
_MOST_BITS = 18
_MULTIPLIERS = [np.uint32((at * 0x9E3779B97F4A7C15 >> 31 | 1) & 0xFFFFFFFF) for at in range(1, 33)]


class KeyTable:
    """The keys met so far, by number.

    A key's *spelling* is its bytes in an item, from its first tag to the tag of the value: ``12 size part`` for each
    part of the path, or ``0A size key``, then ``82 01``. So no spelling is the beginning of another. A word at a time,
    the spellings fall into ever smaller groups, until each is alone in its group; then all its words are compared.
    """

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.keys: list[str] = []
        self.irregular: list[int] = []
        """Keys the bulk path is not for: leaves of media, which belong together, and what is nested too deep."""
        self.lengths: Ints = np.zeros(1, np.int64)
        """Of the spellings, in bytes."""
        self._spellings: dict[bytes, int] = {}
        self._levels: list[_Level] = []
        self._rest: list[tuple[Flags, Ints, Words]] = []

    def __len__(self) -> int:
        return len(self.paths)

    def learn(self, window: Window, starts: Ints) -> bool:
        """Take in the keys whose spellings begin there; whether there was a new one."""
        before = len(self)
        for start in starts.tolist():
            spelling, path = _read_spelling(window.text[start : start + _LONGEST_SPELLING])
            if path is None or spelling in self._spellings or len(self) == _MOST_KEYS:
                continue
            if len(path) > DEEPEST or (len(path) > 1 and path[-1] == "_type"):
                self.irregular.append(len(self))
            self._spellings[spelling] = len(self)
            self.paths.append(path)
            self.keys.append(escape(path))
        if len(self) == before:
            return False
        spellings = list(self._spellings)
        self.lengths = np.array([len(spelling) for spelling in spellings])
        self._levels, covered = _build_levels(spellings)
        self._rest = _build_rest(spellings, covered)
        return True

    def tell(self, window: Window, starts: Ints) -> tuple[Ints, Flags]:
        """The number of the only key that may stand at each place, and whether it does."""
        groups = np.zeros(len(starts), np.int64)
        found: list[Words] = []
        for level in self._levels:
            words = window.take(starts + level.offsets.take(groups) if found else starts)
            found.append(words)
            groups = level.split(groups, words)
        known = np.full(len(starts), bool(self._levels))
        for level, words in zip(self._levels, found, strict=True):
            known &= level.words.take(groups) == words
        for needed, offsets, expected in self._rest:
            if 2 * np.count_nonzero(needed) > len(needed):
                known &= window.take(starts + offsets.take(groups)) == expected.take(groups)
                continue
            more = np.flatnonzero(needed.take(groups))
            of_more = groups[more]
            differs = window.take(starts[more] + offsets.take(of_more)) != expected.take(of_more)
            known[more[differs]] = False
        return groups, known


class _Level(NamedTuple):
    """Splits groups by a word."""

    offsets: Ints
    """Where each group has it."""
    words: Words
    """What it is in each spelling, by its number."""
    split: _Split


class _Split(NamedTuple):
    """Finds the new group for a group and a word: they are mixed to one number, whose upper bits are a place."""

    multipliers: tuple[np.uint32, np.uint32]
    shift: np.uint32
    groups: Ints
    """The new group by place."""
    ordered: Words
    """Where there are too many for that, `shift` is 0, and these are the mixed numbers of `groups`."""

    def __call__(self, groups: Ints, words: Words) -> Ints:
        places = _mix(groups, words, self.multipliers) >> self.shift
        return self.groups.take(places if self.shift else self.ordered.searchsorted(places), mode="clip")


def _mix(groups: Ints, words: Words, multipliers: tuple[np.uint32, np.uint32]) -> Words:
    mixed: Words = words * multipliers[0]
    mixed += groups.astype(np.uint32) * multipliers[1]
    return mixed


def _read_spelling(found: bytes) -> tuple[bytes, Path | None]:
    """The spelling at the beginning of some bytes, and its path; None when it is not that of a regular item."""
    parts = []
    at = 0
    while found[at] == _PART_TAG or (at == 0 and found[at] == _KEY_TAG):
        stop = at + 2 + found[at + 1]
        if stop + 2 > len(found):
            return b"", None
        parts.append(found[at + 2 : stop])
        at = stop
        if found[0] == _KEY_TAG:
            break
    if not parts or found[at : at + 2] != _VALUE_TAG:
        return b"", None
    return found[: at + 2], tuple([text(part) for part in parts])


def _build_levels(spellings: list[bytes]) -> tuple[list[_Level], list[list[int]]]:
    """Levels that leave each spelling alone in a group of its number, and the offsets of the words read of each."""
    levels: list[_Level] = []
    read: list[list[int]] = [[] for _ in spellings]
    groups = [0] * len(spellings)
    offsets = [0]
    while True:
        for group, offsets_read in zip(groups, read, strict=True):
            offsets_read.append(offsets[group])
        words = [_word(each, offsets[group]) for each, group in zip(spellings, groups, strict=True)]
        members: dict[tuple[int, int], list[int]] = {}
        for number, pair in enumerate(zip(groups, words, strict=True)):
            members.setdefault(pair, []).append(number)
        last = len(members) == len(spellings) or len(levels) == _MOST_LEVELS
        names = [numbers[0] for numbers in members.values()] if last else list(range(len(members)))
        split = _build_split(list(members), names)
        levels.append(_Level(np.array(offsets), np.array(words, np.uint32), split))
        if last:
            return levels, read
        for group, numbers in enumerate(members.values()):
            for number in numbers:
                groups[number] = group
        offsets = [_best_offset([spellings[each] for each in numbers], len(levels)) for numbers in members.values()]


def _best_offset(spellings: list[bytes], level: int) -> int:
    """Where the words of a group differ most; of one alone, the next word."""
    last: int = min(map(len, spellings)) - WORD
    if len(spellings) == 1:
        return min(level * WORD, last)
    offsets: list[int] = [*range(0, last, 2), last]
    distinct = [len({_word(spelling, offset) for spelling in spellings}) for offset in offsets]
    return offsets[distinct.index(max(distinct))]


def _build_split(pairs: list[tuple[int, int]], names: list[int]) -> _Split:
    """A split that makes group ``names[i]`` of ``pairs[i]``: a group before, and a word."""
    groups, words = np.array(pairs, np.int64).T
    words = words.astype(np.uint32)
    bits = max(6, 2 * len(pairs).bit_length())
    shift = np.uint32(32 - bits if bits <= _MOST_BITS else 0)
    for multipliers in zip(_MULTIPLIERS[::2], _MULTIPLIERS[1::2], strict=True):
        places = _mix(groups, words, multipliers) >> shift
        if len(np.unique(places)) == len(places):
            break
    if shift:
        table = np.zeros(1 << bits, np.int64)
        table[places] = names
        return _Split(multipliers, shift, table, places[:0])
    order = places.argsort()
    return _Split(multipliers, shift, np.array(names)[order], places[order])


def _build_rest(spellings: list[bytes], read: list[list[int]]) -> list[tuple[Flags, Ints, Words]]:
    """The words not yet read, one of each spelling at a time: whether it has any left, its offset, and the word.

    Spellings that have none left compare their first word again.
    """
    left = [_unread(len(spelling), offsets) for spelling, offsets in zip(spellings, read, strict=True)]
    rest = []
    for at in range(max(map(len, left))):
        needed = [at < len(offsets) for offsets in left]
        places = [offsets[at] if at < len(offsets) else 0 for offsets in left]
        words = [_word(each, place) for each, place in zip(spellings, places, strict=True)]
        rest.append((np.array(needed), np.array(places), np.array(words, np.uint32)))
    return rest


def _unread(length: int, read: list[int]) -> list[int]:
    """Offsets of words that cover, of so many bytes, all that the words at the offsets `read` do not."""
    left = []
    at = 0
    while at < length:
        end = max((offset + WORD for offset in read if offset <= at < offset + WORD), default=0)
        if not end:
            left.append(min(at, length - WORD))
        at = end or at + WORD
    return left


def _word(spelling: bytes, offset: int) -> int:
    return int.from_bytes(spelling[offset : offset + WORD], "little")
