"""Run a command where an ext4 image is mounted, and then, if told so, take its power away.

    unshare -m python power_cut.py IMAGE MOUNT cut|keep COMMAND...

``cut``: what was not written to disk is lost, the journal included (EXT4_IOC_SHUTDOWN of <linux/ext4.h>).
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys

SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2


def main(image: str, mount: str, then: str, command: list[str]) -> int:
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    status = subprocess.run(command, check=False).returncode
    if then == "cut":
        folder = os.open(mount, os.O_RDONLY)
        fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(folder)
    subprocess.run(["umount", mount], check=True)
    return status


if __name__ == "__main__":
    sys.exit(abs(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])))
