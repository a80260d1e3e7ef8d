"""`runwise-mcp` with arguments: what it is told about itself, and the HTTP server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from runwise_protocol import __version__
from runwise_protocol.errors import RunwiseError


def main(argv: Sequence[str]) -> None:
    """Do what the arguments say, and end the process."""
    options = _parser().parse_args(argv)
    if not options.http:
        _parser().error("--port is for --http")
    from runwise_mcp import http

    try:
        http.run(options.port, os.environ.get("RUNWISE_MCP_TOKEN"))
    except KeyboardInterrupt:
        sys.exit(130)
    except RunwiseError as error:
        print(error, file=sys.stderr)
        sys.exit(error.kind.exit_status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runwise-mcp",
        description="MCP server on stdin and stdout; its tools answer what the runwise command does.",
    )
    parser.add_argument("--version", action="version", version=f"runwise-mcp {__version__}")
    parser.add_argument(
        "--http",
        action="store_true",
        help="serve over HTTP on loopback instead; the token is $RUNWISE_MCP_TOKEN, else a new one, told on stderr",
    )
    parser.add_argument("--port", type=int, default=8737, metavar="N", help="port for --http (8737; 0: any)")
    return parser
