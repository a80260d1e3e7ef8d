"""The daemon: bytes become rows, rows become columns, columns become answers, answers become text."""
