"""The per-run index: rows in, columns, statistics and buckets out. Pure."""
