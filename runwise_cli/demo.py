"""`runwise demo`: the way from the list of runs to the rows of a divergence, on a small project that ships with us."""

from __future__ import annotations

import shlex

from runwise_protocol.argv import parse
from runwise_protocol.client import Client
from runwise_protocol.query import Where

from runwise_cli.ask import write

TOUR = (
    "runwise list",
    "runwise run gpt-wide",
    "runwise history gpt-hot -k train/loss,grad_norm",
    "runwise raw gpt-hot --step 690:770 -k train/loss,grad_norm",
)
"""From all runs to the best one, to the curves of the one that diverged, to the rows where it did."""


def demo() -> int:
    """Show the tour: each command, and what it answers. The exit status. Raises RunwiseError and OSError."""
    with Client.connect() as client:
        root = str(client.control("demo")["path"])
        where = Where(cwd=root)
        for command in TOUR:
            parsed = parse(shlex.split(command)[1:])
            assert parsed is not None
            print(f"$ {command}")
            status = write(client, parsed, where)
            if status:
                return status
            print()
    print(f"These runs lie in {root}")
    print(f"Go on there: cd {shlex.quote(root)} && runwise log gpt-long --errors")
    return 0
