"""Finds the items of many W&B records at once: where each key and each value stands, and which key it is.

All records of a window are walked in lockstep, one item a step. Every length is checked: a walk must arrive exactly
at its record's end, and an item's parts must fill it. An item is regular when it reads ``0A size, key, 82 01 size,
value`` with sizes below 128 and a key of the `KeyTable`; a record with any other item is *odd*, and left to the
general reader.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from runwised.formats.protowire import LEN
from runwised.formats.record import Ints
from runwised.formats.wandb_fast_keys import KeyTable
from runwised.formats.wandb_fast_words import Flags, Octets, Window

_LEN_BITS = 0x87
"""Of a tag of one byte: all but the field number."""
_ITEM_TAG = 0x0A
_STEP_TAG = 0x12
_NOWHERE = -(1 << 40)
_MANY_STEPS = 64
_FEW_LANES = 4
"""Fewer lanes than this are not worth `_MANY_STEPS` or more."""
_SAMPLES = (64, 512, 4096, 32768)
"""How many items of unknown keys are looked at, in each round of learning."""


class Opened(NamedTuple):
    """Records opened; all arrays have shape (r,)."""

    nums: Ints
    """Number in the log; 0 where the record does not begin with it."""
    kinds: Octets
    """Field number of the one message in it, from 1 to 15; 0 where it is less plain."""
    bodies: Ints
    """Where the message within the record begins."""


def open_all(window: Window, starts: Ints, ends: Ints) -> Opened:
    """Read number, kind and length at the beginning of each record; `starts` and `ends` are places in the window."""
    number = window.take(starts + 1)
    stop = ~number & 0x80808080
    stop &= ~stop + np.uint32(1)
    numbered = (window.octets.take(starts) == 0x08) & (stop != 0)
    number &= stop - np.uint32(1)
    nums = number & 0x7F | number >> 1 & 0x3F80 | number >> 2 & 0x1FC000 | number >> 3 & 0xFE00000
    at = starts + 2
    for last in (0x80, 0x8000, 0x800000):
        at += stop > last
    message = window.take(at)
    size = message >> 8
    two = size & 0x80 != 0
    three = two & (size & 0x8000 != 0)
    length = (size & 0x7F) + (size >> 1 & 0x3F80) * two + (size >> 2 & 0x1FC000) * three
    bodies = at + 2 + two + three
    whole = numbered & (bodies + length == ends) & ~(three & (size & 0x800000 != 0))
    plain = whole & (message & _LEN_BITS == LEN)
    kinds = np.where(plain, message >> 3 & 0x0F, 0).astype(np.uint8)
    return Opened(np.where(numbered, nums, 0).astype(np.int64), kinds, bodies)


class Walked(NamedTuple):
    """Where items begin (shape (i,), lane by lane), and where the walks ended (shape (lanes,))."""

    lanes: Ints
    starts: Ints
    good: Flags
    """The walk ended where the message does, or at its last field, that of a row's own step."""
    stepped: Flags
    """It ended at that field."""


def walk(window: Window, bodies: Ints, ends: Ints, rows: int) -> Walked:
    """Walk over the items of each message from its body to its end; the first `rows` lanes are rows."""
    arrived = np.full(len(bodies), _NOWHERE)
    lanes, at, limits = np.arange(len(bodies)), bodies, ends
    steps = [(lanes[:0], at[:0])]
    while len(lanes) > (0 if len(steps) < _MANY_STEPS else _FEW_LANES):
        sizes = window.octets.take(at + 1, mode="clip")
        more = (window.octets.take(at, mode="clip") == _ITEM_TAG) & (sizes < 0x80) & (at < limits)
        if not more.all():
            done = ~more
            arrived[lanes[done]] = at[done]
            lanes, at, limits, sizes = lanes[more], at[more], limits[more], sizes[more]
        steps.append((lanes, at))
        at = at + sizes
        at += 2
    last = window.take(arrived)
    stepped = (last & 0x80FF == _STEP_TAG) & (arrived + 2 + (last >> 8 & 0x7F) == ends)
    stepped[rows:] = False
    lanes, starts = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    order = lanes.astype(np.uint16 if len(bodies) <= 1 << 16 else np.int64).argsort(kind="stable")
    return Walked(lanes[order], starts[order], stepped | (arrived == ends), stepped)


class Items(NamedTuple):
    """Items of regular records, in the order of the log; all arrays have shape (i,)."""

    lanes: Ints
    keys: Ints
    values: Ints
    """Where the value's JSON text begins."""
    sizes: Octets
    """Its length."""

    def between(self, start: int, stop: int) -> Items:
        """The items of the lanes [start, stop)."""
        part = slice(*self.lanes.searchsorted((start, stop)).tolist())
        return Items(self.lanes[part], self.keys[part], self.values[part], self.sizes[part])

    def without(self, odd: Flags) -> Items:
        """All but the items of some lanes; `odd` has shape (lanes,)."""
        kept = ~odd[self.lanes]
        return Items(self.lanes[kept], self.keys[kept], self.values[kept], self.sizes[kept])


def identify(window: Window, walked: Walked, table: KeyTable) -> tuple[Items, Flags]:
    """The items of regular records, and which lanes are odd. Keys that are new are learnt."""
    if not len(table):
        table.learn(window, walked.starts[: walked.lanes.searchsorted(1)] + 2)
    for sample in _SAMPLES:
        items, fits, known = _locate(window, walked, table)
        strange = walked.starts[~known]
        if not len(strange) or not table.learn(window, strange[:: len(strange) // sample + 1] + 2):
            break
    odd = ~walked.good
    odd[items.lanes[~(fits & known)]] = True
    if table.irregular:
        odd[items.lanes[np.isin(items.keys, table.irregular)]] = True
    return items.without(odd) if odd.any() else items, odd


def _locate(window: Window, walked: Walked, table: KeyTable) -> tuple[Items, Flags, Flags]:
    """Items, whether the parts of each fill it, and whether its key is the one it seems to be."""
    keys, known = table.tell(window, walked.starts + 2)
    values = walked.starts + table.lengths.take(keys)
    values += 3
    sizes = window.octets.take(values - 1, mode="clip")
    ends = walked.starts + window.octets.take(walked.starts + 1)
    ends += 2
    return Items(walked.lanes, keys, values, sizes), values + sizes == ends, known
