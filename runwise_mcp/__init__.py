"""The `runwise-mcp` command."""
