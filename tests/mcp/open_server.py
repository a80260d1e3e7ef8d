"""The HTTP server without a token, for suites that cannot give one: ``python open_server.py PORT``, in a project."""

from __future__ import annotations

import sys

import anyio

from runwise_mcp.http import serve

if __name__ == "__main__":
    anyio.run(serve, int(sys.argv[1]), None)
