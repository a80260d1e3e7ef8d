"""The only layer that reads files: it finds runs, follows their logs and keeps their indexes.

Nothing is imported here: a worker process is started for each log, and must not load what it does not need.
"""
