"""What crosses the socket between the daemon and its front-ends, and nothing else."""

__version__ = "0.1.0"
