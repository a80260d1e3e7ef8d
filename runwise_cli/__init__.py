"""The `runwise` command."""
