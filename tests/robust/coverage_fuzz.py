"""Fuzz one reader, led by coverage (atheris): `python -m tests.robust.coverage_fuzz FORMAT [options of libFuzzer]`.

The first bytes say where the rest is cut. It ends with the input that broke something, or after ``-runs`` or
``-max_total_time``; ``-rss_limit_mb`` bounds memory.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["runwised"]):
    from runwised.formats import all_formats
    from tests.robust import fuzzing

CUTS = 3


def main(name: str, options: list[str]) -> None:
    """Fuzz the format of that name, beginning with real logs."""
    log = next(log for log in all_formats() if log.name == name)

    def one(data: bytes) -> None:
        places = [int.from_bytes(data[at : at + 2], "little") for at in range(0, 2 * CUTS, 2)]
        fuzzing.check_reader(log, data[2 * CUTS :], places)
        fuzzing.check_index(log, data[2 * CUTS :])

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(fuzzing.SEEDS[name]):
            (Path(corpus) / str(number)).write_bytes(bytes(2 * CUTS) + seed)
        atheris.Setup([sys.argv[0], corpus, *options], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
