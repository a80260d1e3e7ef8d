"""What readers owe whatever they are fed, as functions of bytes: shared by hypothesis and by atheris."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from runwised.formats import all_formats, choose
from runwised.formats.console import resolve_bytes
from runwised.formats.json_value import decode_json
from runwised.formats.mlflow import decode_meta
from runwised.formats.mlflow_points import decode_line, decode_lines
from runwised.formats.record import Batch, Format, Resume
from runwised.formats.side_config import parse_side_config
from runwised.formats.trackio import decode_metrics
from runwised.formats.wandb_files import parse_config, parse_metadata, parse_requirements, parse_summary
from runwised.index.run_index import RunIndex
from tests.formats.conftest import CASES, Told

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
MOST_BYTES = 60_000
"""Of a fixture: enough for what a format can hold, and read in no time."""
HEAD, TAIL = 64 << 10, 128 << 10
BASE_MEMORY, MEMORY_A_BYTE = 8 << 20, 400
"""What a reader and an index may take of memory at most: so much, and so much for each byte."""


def _real_logs() -> dict[str, list[bytes]]:
    """The beginning and the end of every real log there is, by the name of its format."""
    found: dict[str, list[bytes]] = {log.name: [] for log in all_formats()}
    for path in sorted(path for path in FIXTURES.rglob("*") if path.is_file()):
        data = path.read_bytes()
        log = choose(path.name, data[:4096])
        if log is not None and len(found[log.name]) < 12 and data:
            found[log.name] += [data[:MOST_BYTES]] + ([data[-MOST_BYTES:]] if len(data) > MOST_BYTES else [])
    for case in CASES:
        log = choose(case.filename, case.data[:4096])
        assert log is not None
        found[log.name].append(case.data)
    return found


SEEDS = _real_logs()
BY_NAME = {log.name: log for log in all_formats()}

FILES: dict[str, Callable[[bytes], object]] = {
    "wandb-summary.json": parse_summary,
    "config.yaml": parse_config,
    "wandb-metadata.json": parse_metadata,
    "requirements.txt": parse_requirements,
    "hparams.yaml": lambda data: parse_side_config("hparams.yaml", data),
    "config.json": lambda data: parse_side_config("config.json", data),
    "a line of mlflow": decode_line,
    "lines of mlflow": decode_lines,
    "meta.yaml": decode_meta,
    "a row of trackio": lambda data: decode_metrics(data.decode(errors="replace")),
    "a value": decode_json,
    "console": lambda data: list(resolve_bytes([data])),
}
"""What reads a whole file, or a piece of one; each may raise ValueError, and nothing else."""


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The same bytes in pieces."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def read(log: Format, pieces: Iterable[bytes], resume: Resume | None = None) -> list[Batch]:
    """All batches of a source that comes in pieces and then ends."""
    reader = log.reader(resume)
    return [batch for piece in pieces for batch in reader.feed(piece)] + list(reader.close())


def picture(batches: Iterable[Batch]) -> Any:
    """What they add up to."""
    return Told(batches).picture()


def check_reader(log: Format, data: bytes, places: Sequence[int]) -> None:
    """No exception; the same however it is cut, and where another reader takes over; rows can be read back."""
    at_end = log.reader()
    whole = picture([*at_end.feed(data), *at_end.close()])
    pieces = cut(data, places)
    assert picture(read(log, pieces)) == whole, "another result in pieces"
    reader = log.reader()
    before: list[Batch] = []
    for piece in pieces[: len(pieces) // 2 + 1]:
        before += reader.feed(piece)
    resume = reader.resume
    assert 0 <= resume.offset <= len(data)
    assert picture([*before, *read(log, [data[resume.offset :]], resume)]) == whole, "another result when taken over"
    check_places(log, data, whole, at_end.resume)


def check_places(log: Format, data: bytes, whole: Any, resume: Resume) -> None:
    """Rows and console chunks are where they are said to be; a probe, and a look at any other place, break nothing."""
    log.probe(data[:HEAD], data[-TAIL:], max(len(data) - TAIL, 0))
    log.matches("any", data[:4096])
    rows, console = whole[0], whole[4]
    for offset, *_ in (rows["history"] + rows["system"])[:20]:
        assert 0 <= offset <= len(data)
        _looked_up(log.row, data, offset, resume)
    for offset, *_ in console[:20]:
        assert 0 <= offset <= len(data)
        _looked_up(log.text, data, offset, resume)
    for offset in range(0, len(data), max(len(data) // 7, 1)):
        _looked_up(log.row, data, offset, resume)
        _looked_up(log.text, data, offset, resume)


def _looked_up(look: Callable[[bytes, int, Resume], object], data: bytes, offset: int, resume: Resume) -> None:
    try:
        look(data[offset:], offset, resume)
    except ValueError:
        return


def check_index(log: Format, data: bytes) -> None:
    """An index takes whatever a reader gives."""
    index = RunIndex()
    index.start_source("log")
    for batch in read(log, [data]):
        index.fold(batch, 0)


def check_file(parse: Callable[[bytes], object], data: bytes) -> None:
    """Nothing but ValueError gets out."""
    try:
        parse(data)
    except ValueError:
        return


def memory(work: Callable[[], object]) -> int:
    """Bytes that were held at most at any moment of some work."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def room(data: bytes) -> int:
    """Bytes that reading so much may hold."""
    return BASE_MEMORY + MEMORY_A_BYTE * len(data)
