"""The socket side of the daemon: connections, dispatch and life cycle."""
