"""Framing: bytes to frames and back, the same on both sides; see WIRE.md.

Loaded by the lane, so it imports nothing (`__future__` neither).
"""

REQUEST_CAP = 1 << 20
"""Most bytes in the payload of a frame to the daemon."""
REPLY_CAP = 16 << 20
"""Most bytes in the payload of a frame from the daemon."""

HELLO = 0x48
"""H, both ways: the version of who speaks."""
LANE = 0x4C
"""L: a command line."""
ASK = 0x51
"""Q: a typed question."""
WRITE = 0x57
"""W: a typed question whose answer is wanted as a stream of text."""
CONTROL = 0x43
"""C: a verb for the daemon itself."""
MCP = 0x4D
"""M: what follows the answer to it is an MCP session, and no frames."""

OUT = 0x4F
"""O: bytes for stdout."""
ERR = 0x45
"""E: bytes for stderr."""
EXIT = 0x58
"""X: the end of a stream, with the exit status."""
DECLINE = 0x44
"""D: not a plain command line; the full parser must read it."""
ANSWER = 0x41
"""A: a typed answer."""
FAILURE = 0x46
"""F: an error."""
STATE = 0x53
"""S: what a verb gave."""
ALIVE = 0x4B
"""K: no answer yet, but it is being worked on."""

ENVIRON = ("RUNWISE_PROJECT_ROOT", "RUNWISE_WANDB_DIR", "RUNWISE_LOGS_DIR", "WANDB_DIR", "TRACKIO_DIR")
"""Environment variables of the asking process that a question carries along."""

_HEAD = 5


class FrameError(ValueError):
    """The bytes are not frames. `whole`: the frames that came whole before, in the same feed."""

    def __init__(self, reason: str, whole: list[tuple[int, bytes]]) -> None:
        super().__init__(reason)
        self.whole = whole


class Frames:
    """Takes bytes in pieces of any size and gives the frames they complete."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._held = bytearray()

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The (kind, payload) of each frame completed by these bytes.

        Raises FrameError when a frame's length is zero or over the cap, before any of its payload is held.
        """
        held = self._held
        held += data
        frames: list[tuple[int, bytes]] = []
        start = 0
        while len(held) - start >= _HEAD:
            length = int.from_bytes(held[start : start + 4], "little")
            if not 0 < length <= self._cap:
                held.clear()
                raise FrameError(f"a frame of {length} bytes; 1 to {self._cap} are allowed", frames)
            end = start + _HEAD + length
            if end > len(held):
                break
            frames.append((held[start + 4], bytes(held[start + _HEAD : end])))
            start = end
        del held[:start]
        return frames


def encode(kind: int, payload: bytes) -> bytes:
    """One frame. `payload` must hold at least one byte."""
    return len(payload).to_bytes(4, "little") + bytes((kind,)) + payload


def lane_request(version: str, cwd: bytes, width: int, flags: str, environ: list[bytes], argv: list[bytes]) -> bytes:
    """The frame of a command line. `flags`: ``t`` when stdout is a terminal, ``c`` when colour is allowed."""
    return encode(LANE, _asker(version, cwd, width, flags, environ, argv))


def mcp_request(version: str, cwd: bytes, environ: list[bytes]) -> bytes:
    """The frame that begins an MCP session: a command line without words, at no terminal."""
    return encode(MCP, _asker(version, cwd, 0, "", environ, []))


def _asker(version: str, cwd: bytes, width: int, flags: str, environ: list[bytes], argv: list[bytes]) -> bytes:
    head = f"{version}\0{width}\0{flags}\0{len(environ)}".encode()
    return b"\0".join((head, cwd, *environ, *argv))
