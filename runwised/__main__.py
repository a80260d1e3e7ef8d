"""The `runwised` command: the daemon itself."""

import gc
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
    gc.disable()  # what is loaded stays: to look through it for garbage costs an eighth of the start
    from runwised.app import main as run

    gc.freeze()
    gc.enable()
    run(sys.argv[1:])


if __name__ == "__main__":
    main()
