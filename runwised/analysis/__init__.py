"""Numbers in, findings out: what went wrong on a run's curves, where it began, and whether it ended. Pure."""
