"""The `runwise-mcp` command."""

import sys


def main() -> None:
    """Say that there is nothing here yet."""
    sys.exit("not yet: runwise-mcp serves no tools in this version; the same answers come from the runwise command")


if __name__ == "__main__":
    main()
