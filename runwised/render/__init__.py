"""Answers become text within a token budget."""
