"""The only layer that reads files: it finds runs, follows their logs and keeps their indexes."""
