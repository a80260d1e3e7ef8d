"""`runwise-mcp` with arguments: what it is told about itself, and the HTTP server."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from runwise_protocol import __version__


def main(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(
        prog="runwise-mcp",
        description="MCP server on stdin and stdout; its tools answer what the runwise command does.",
    )
    parser.add_argument("--version", action="version", version=f"runwise-mcp {__version__}")
    parser.parse_args(argv)
