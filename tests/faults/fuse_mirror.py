"""A file system (FUSE) that shows a folder read-only, and does what a mode file says; then runs a command.

    python fuse_mirror.py SOURCE MOUNT MODE_FILE COMMAND...

Changes made in SOURCE raise no event in MOUNT, as on a network file system. Modes, read at each request:
``ok``; ``eio``: reads fail; ``stale``: reads and looks at files fail with ESTALE; ``hang``: nothing is answered until
the mode changes; ``small``: one look at a file gives half its size, then the mode is ``ok`` again.
The numbers are those of <linux/fuse.h>. The command takes this process's place; the file system ends with it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import stat
import struct
import sys

LOOKUP, FORGET, GETATTR, READLINK, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 5, 14, 15, 17, 18
GETXATTR, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS, INTERRUPT, BATCH_FORGET = (
    22,
    25,
    26,
    27,
    28,
    29,
    34,
    36,
    42,
)
DIRECT_IO = 1
PR_SET_PDEATHSIG = 1
HEAD = struct.Struct("<IIQQIIII")


class Mirror:
    """Answers the kernel's requests."""

    def __init__(self, device: int, source: str, mode: str) -> None:
        self.device = device
        self.mode_file = mode
        self.paths = {1: source}
        self.nodes = {source: 1}

    def mode(self) -> str:
        with open(self.mode_file, encoding="ascii") as file:
            return file.read().strip()

    def run(self) -> None:
        while True:
            # What nobody has taken yet its asker can be killed of, as on a network.
            select.select([self.device], [], [])
            while self.mode() == "hang":
                select.select([], [], [], 0.01)
            try:
                request = os.read(self.device, 1 << 18)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                return
            _, code, unique, node, _, _, _, _ = HEAD.unpack_from(request)
            if code in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            try:
                status, reply = 0, self.answer(code, node, request[HEAD.size :])
            except OSError as error:
                status, reply = -(error.errno or errno.EIO), b""
            try:
                os.write(self.device, struct.pack("<IiQ", 16 + len(reply), status, unique) + reply)
            except OSError as error:  # whoever asked was killed
                if error.errno != errno.ENOENT:
                    return

    def answer(self, code: int, node: int, body: bytes) -> bytes:
        if code == INIT:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 17, 0, 16, 12, 1 << 17, 1, 32, 0, 0)
        path = self.paths[node]
        if code == LOOKUP:
            return self.entry(os.path.join(path, os.fsdecode(body.rstrip(b"\0"))))
        if code == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self.attributes(path)
        if code in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, DIRECT_IO if code == OPEN else 0, 0)
        if code == READ:
            return self.read(path, body)
        if code == READDIR:
            return self.list(path, body)
        if code == READLINK:
            return os.fsencode(os.readlink(path))
        if code in (RELEASE, RELEASEDIR, FLUSH, ACCESS):
            return b""
        if code == STATFS:
            return bytes(80)
        raise OSError(errno.ENOSYS, "no such request")

    def entry(self, path: str) -> bytes:
        attributes = self.attributes(path)
        found = os.lstat(path)
        node = self.nodes.setdefault(path, len(self.nodes) + 1)
        self.paths[node] = path
        return struct.pack("<QQQQII", node, found.st_ino & 0xFFFF, 0, 0, 0, 0) + attributes

    def attributes(self, path: str) -> bytes:
        found = os.lstat(path)
        mode, size = self.mode(), found.st_size
        if stat.S_ISREG(found.st_mode) and mode == "stale":
            raise OSError(errno.ESTALE, "stale")
        if stat.S_ISREG(found.st_mode) and mode == "small":
            size //= 2
            with open(self.mode_file, "w", encoding="ascii") as file:
                file.write("ok")
        times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
        seconds, rests = [at // 10**9 for at in times], [at % 10**9 for at in times]
        ids = (found.st_mode, found.st_nlink, os.getuid(), os.getgid())
        return struct.pack("<QQQQQQIIIIIIIIII", found.st_ino, size, 0, *seconds, *rests, *ids, 0, 4096, 0)

    def read(self, path: str, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        if self.mode() in ("eio", "stale"):
            raise OSError(errno.EIO if self.mode() == "eio" else errno.ESTALE, "cannot be read")
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def list(self, path: str, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        listed = b""
        for number, name in enumerate(sorted(os.listdir(os.fsencode(path)))[offset:], offset + 1):
            found = os.lstat(os.path.join(os.fsencode(path), name))
            entry = struct.pack("<QQII", found.st_ino, number, len(name), stat.S_IFMT(found.st_mode) >> 12) + name
            entry += bytes(-len(entry) % 8)
            if len(listed) + len(entry) > size:
                break
            listed += entry
        return listed


def main(source: str, mount: str, mode: str, command: list[str]) -> None:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"mirror", os.fsencode(mount), b"fuse", 0, options.encode()) != 0:
        sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    serving, told = os.pipe()
    if os.fork() == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(told)
        Mirror(device, source, mode).run()
        os._exit(0)
    os.close(told)
    os.read(serving, 1)  # it ends with us from now on
    os.close(device)
    os.close(serving)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
