"""`python -m tests.bench [name …]` runs `tests/bench/bench_NAME.py`, all of them when none is named."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from tests.bench.harness import Report


def main(names: list[str]) -> int:
    """Run each benchmark's ``run(report)`` in turn."""
    known = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"error: no benchmark {unknown[0]!r}\nhint: python -m tests.bench {' '.join(known)}", file=sys.stderr)
        return 2
    report = Report()
    for name in names or known:
        importlib.import_module(f"tests.bench.bench_{name}").run(report)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
