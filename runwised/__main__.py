"""The `runwised` command: the daemon itself."""

import os
import sys


def main() -> None:
    """Run the daemon with the process's own arguments, and end the process."""
    if sys.platform not in ("linux", "darwin"):
        sys.exit(f"error: runwised runs on Linux and macOS, this is {sys.platform}")
    if "--detach" in sys.argv and os.fork():
        os._exit(0)  # who started us need not wait for us, nor bury us
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # idle threads of numpy's would cost memory
    from runwised.app import main as run

    run(sys.argv[1:])


if __name__ == "__main__":
    main()
