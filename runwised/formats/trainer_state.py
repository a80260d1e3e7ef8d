"""Hugging Face's `trainer_state.json`: the history of a training as one JSON document, in each checkpoint anew.

The document is read as a stream: a row for each entry of `log_history`, and what else it says once it is closed.
An entry with `train_runtime` is the last thing `Trainer.train` logs; but checkpoints are saved before. So a run is over
too when its `global_step` has reached its `max_steps`.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from runwised.formats.json_value import as_float, decode_json
from runwised.formats.jsonl_rows import flatten
from runwised.formats.record import (
    NO_HINTS,
    NO_STEP,
    Batch,
    Damage,
    Exit,
    Hints,
    Identity,
    Patch,
    Probe,
    Resume,
    Row,
    Rows,
    Text,
)
from runwised.formats.rows_builder import RowsBuilder
from runwised.formats.step_keys import as_step
from runwised.formats.trainer_document import LONGEST_ENTRY, Closed, Document, Entry, Field, Part, Place
from runwised.formats.wandb_items import HistoryRow

FILENAME = "trainer_state.json"

_ROWS_A_BATCH = 16384
_PROBED = 16384
_NO_ENTRY = "entry is no JSON object"

_CONFIG = frozenset({"num_train_epochs", "train_batch_size", "trial_name", "trial_params"})
"""Fields that say what was planned, besides all that end in ``_steps``."""
_SUMMARY = frozenset(
    {
        "best_global_step",
        "best_metric",
        "best_model_checkpoint",
        "epoch",
        "global_step",
        "num_input_tokens_seen",
        "total_flos",
    }
)


class _Memory(msgspec.Struct):
    """The state of a reader: where it is, and what fields have said, as JSON text."""

    place: Place = "before"
    fields: dict[str, bytes] = {}
    ended: bool = False
    """An entry said that the run is over."""


class TrainerStateReader:
    """Reads one document; see `runwised.formats.record.Reader`.

    `resume.offset` reaches the end of the source only when the document is whole.
    """

    def __init__(self, resume: Resume | None = None) -> None:
        resume = resume or Resume()
        memory = msgspec.msgpack.decode(resume.state, type=_Memory) if resume.state else _Memory()
        self._document = Document(resume.offset, memory.place)
        self._resume = resume
        self._fields = memory.fields
        self._ended = memory.ended
        self._rows = RowsBuilder()

    @property
    def resume(self) -> Resume:
        """Behind the last entry or field."""
        if self._resume.offset != self._document.offset:
            place: Place = "after" if self._document.place == "broken" else self._document.place
            state = msgspec.msgpack.encode(_Memory(place, self._fields, self._ended))
            self._resume = Resume(self._document.offset, state)
        return self._resume

    def feed(self, data: bytes | bytearray | memoryview) -> list[Batch]:
        """Take the next bytes; give the rows they complete, and when the document is closed its other fields."""
        batches: list[Batch] = []
        for part in self._document.feed(data):
            self._take(part, batches)
            if len(self._rows) == _ROWS_A_BATCH:
                self._flush(batches)
        self._flush(batches)
        return batches

    def close(self) -> list[Batch]:
        """Nothing: an entry without its end may still grow."""
        return []

    @property
    def place(self) -> Place:
        """Where in the document the reader is."""
        return self._document.place

    def within_history(self, offset: int) -> TrainerStateReader:
        """A reader that knows this one's fields, and begins amid the entries at `offset`."""
        return TrainerStateReader(Resume(offset, msgspec.msgpack.encode(_Memory("history", self._fields, self._ended))))

    def _take(self, part: Part, batches: list[Batch]) -> None:
        if isinstance(part, Entry):
            try:
                row = _decode(part.text)
            except ValueError as error:
                batches.append(Damage(part.offset, len(part.text), str(error)))
                return
            self._rows.add(part.offset, row.step, row.time, row.values)
            runtime = row.values.get("train_runtime")
            if isinstance(runtime, int | float) and type(runtime) is not bool:
                self._flush(batches)
                self._ended = True
                seconds = as_float(runtime)
                batches.append(Exit(part.offset, 0, seconds if math.isfinite(seconds) and seconds >= 0 else None))
        elif isinstance(part, Field):
            if part.key in _SUMMARY or _is_plan(part.key):
                self._fields[part.key] = part.text
        elif isinstance(part, Closed):
            self._flush(batches)
            batches += self._patches()
            if not self._ended and self._reached():
                batches.append(Exit(part.offset, 0))
            self._fields, self._ended = {}, False
        else:
            batches.append(part)

    def _flush(self, batches: list[Batch]) -> None:
        if self._rows:
            batches.append(self._rows.build()._replace(by_key=True))

    def _reached(self) -> bool:
        """Whether all steps that were planned are done."""
        done, planned = (as_step(decode_json(self._fields.get(key, b"null"))) for key in ("global_step", "max_steps"))
        return done is not None and planned is not None and done >= planned > 0

    def _patches(self) -> list[Batch]:
        told = {key: decode_json(text) for key, text in sorted(self._fields.items())}
        plan = [((key,), value) for key, value in told.items() if value is not None and _is_plan(key)]
        reached = [((key,), value) for key, value in told.items() if value is not None and key in _SUMMARY]
        patches = [Patch("config", plan), Patch("summary", reached)]
        return [patch for patch in patches if patch.sets]


def _is_plan(key: str) -> bool:
    return key in _CONFIG or key.endswith("_steps")


def _decode(text: bytes) -> HistoryRow:
    """The row in an entry, without a wall time. Raises ValueError when it is no JSON object."""
    entry = decode_json(text)
    if not isinstance(entry, dict):
        raise ValueError(_NO_ENTRY)
    step = as_step(entry.get("step"))
    if step is not None:
        del entry["step"]
    return HistoryRow(NO_STEP if step is None else step, math.nan, flatten(entry))


class TrainerState:
    """`trainer_state.json` as a `runwised.formats.record.Format`."""

    name = "trainer_state"
    rewritten = True
    console = False
    together = True
    tells_end = True

    def matches(self, filename: str, head: bytes) -> bool:
        """By its name; the first byte, if there is one, must begin an object."""
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        return filename.rpartition("/")[2] == FILENAME and start in (b"", b"{")

    def reader(self, resume: Resume | None = None, hints: Hints = NO_HINTS) -> TrainerStateReader:  # noqa: ARG002 - the protocol's
        """See `runwised.formats.record.Format`."""
        return TrainerStateReader(resume)

    def probe(self, head: bytes, tail: bytes, tail_offset: int, hints: Hints = NO_HINTS) -> Probe:  # noqa: ARG002
        """The last entry's step, the last values the tail shows, and the fields of a whole document."""
        reader = TrainerStateReader()
        if not tail_offset:
            return _probe_of(reader.feed(tail), bool(head))
        batches = reader.feed(head)
        if reader.place == "history":
            cut = tail[-_PROBED:]
            start = cut.find(b"{") + 1
            if start:
                offset = tail_offset + len(tail) - len(cut) + start - 1
                batches += reader.within_history(offset).feed(cut[start - 1 :])
        return _probe_of(batches, bool(head))

    def row(self, data: bytes, offset: int, resume: Resume) -> Row | None:  # noqa: ARG002 - the protocol's
        """The row whose entry begins at ``data[0]``; see the protocol."""
        if data[:1] not in (b"", b"{"):
            raise ValueError(f"no entry at byte {offset}")
        for part in Document(offset, "history").feed(data):
            if isinstance(part, Entry):
                return Row(*_decode(part.text))
            raise ValueError(f"no entry at byte {offset}")
        if len(data) > LONGEST_ENTRY:
            raise ValueError(f"entry at byte {offset} is longer than 1 MiB")
        return None

    def text(self, data: bytes, offset: int, resume: Resume) -> Text | None:  # noqa: ARG002 - the protocol's
        """The document holds no console text."""
        raise ValueError(f"no console chunk at byte {offset} of {FILENAME}")


def _probe_of(batches: list[Batch], begun: bool) -> Probe:
    step, end = None, None
    told: dict[str, dict[str, Any]] = {"config": {}, "summary": {}}
    for batch in batches:
        if isinstance(batch, Rows):
            step = None if batch.steps[-1] == NO_STEP else int(batch.steps[-1])
            told["summary"] |= {column.key: float(column.values[-1]) for column in batch.columns}
        elif isinstance(batch, Patch):
            told[batch.target] |= {path[0]: value for path, value in batch.sets}
        elif isinstance(batch, Exit):
            end = batch
    return Probe(Identity(), {}, told["config"], told["summary"], step, None, end, header=begun)


TRAINER_STATE = TrainerState()
