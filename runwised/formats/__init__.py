"""Log formats: bytes in, batches out. Pure: no file, clock or socket."""
