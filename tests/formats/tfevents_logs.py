"""Event files written from scratch, with a checksum that is computed bit by bit; what tests of their reader share."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache


@cache
def _octet(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


def masked_sum(data: bytes) -> bytes:
    """The masked CRC-32C as it is stored."""
    register = 0xFFFFFFFF
    for octet in data:
        register = _octet((register ^ octet) & 255) ^ register >> 8
    register ^= 0xFFFFFFFF
    return struct.pack("<I", (register >> 15 | register << 17 & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """A TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + masked_sum(length) + data + masked_sum(data)


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(key: int, value: int) -> bytes:
    return varint(key << 3) + varint(value)


def nested(key: int, value: bytes) -> bytes:
    return varint(key << 3 | 2) + varint(len(value)) + value


def event(time: float, step: int, body: bytes) -> bytes:
    """An event's data; a step of 0 is not written."""
    return b"\x09" + struct.pack("<d", time) + (number(2, step) if step else b"") + body


def simple(tag: str, value: float) -> bytes:
    """A value as torch writes it."""
    return nested(1, nested(1, tag.encode()) + b"\x15" + struct.pack("<f", value))


def tensor(tag: str, dtype: int, fields: bytes, shape: Sequence[int] = (), metadata: bytes = b"") -> bytes:
    """A value that is a tensor."""
    dimensions = b"".join(nested(2, number(1, size)) for size in shape)
    held = nested(8, number(1, dtype) + nested(2, dimensions) + fields)
    return nested(1, nested(1, tag.encode()) + held + metadata)


def plugin(name: str, content: bytes = b"") -> bytes:
    """A value's metadata."""
    return nested(9, nested(1, nested(1, name.encode()) + (nested(2, content) if content else b"")))


def summary(time: float, step: int, *values: bytes) -> bytes:
    """A whole record that logs values."""
    return record(event(time, step, nested(5, b"".join(values))))


def header(time: float = 1.75e9) -> bytes:
    return record(event(time, 0, nested(3, b"brain.Event:2")))


def session_start(time: float, step: int) -> bytes:
    return record(event(time, step, nested(7, number(1, 1))))


def small_events() -> bytes:
    """A little of everything in few records; the last one is a plain scalar."""
    hyperparameters = {
        "lr": b"\x11" + struct.pack("<d", 3e-4),
        "opt": nested(3, b"adamw"),
        "amp": number(4, 1),
    }
    start = b"".join(nested(1, nested(1, key.encode()) + nested(2, value)) for key, value in hyperparameters.items())
    told = plugin("hparams", nested(3, start))
    histogram = b"".join(bytes([n << 3 | 1]) + struct.pack("<d", n) for n in range(1, 6))
    histogram += nested(6, struct.pack("<2d", 0.5, 2)) + nested(7, struct.pack("<2d", 1, 2))
    image = number(1, 4) + number(2, 6) + nested(4, b"\x89PNG....")
    return b"".join(
        [
            header(),
            record(event(1.75e9, 0, nested(5, nested(1, nested(1, b"_hparams_/session_start_info") + told)))),
            summary(1.75e9, 0, simple("loss", 1.5)),
            summary(float("nan"), 1, simple("loss", float("nan")), simple("train.acc", 0.25)),
            session_start(1.75e9 + 1, 1),
            summary(1.75e9 + 1, 1, simple("loss", float("-inf"))),
            summary(1.75e9 + 3, 2, tensor("text", 7, nested(8, "é".encode()), (1,), plugin("text"))),
            summary(1.75e9 + 3, 2, nested(1, nested(1, b"h") + nested(5, histogram))),
            summary(1.75e9 + 3, 2, nested(1, nested(1, b"i") + nested(4, image)), simple("loss", 0.5)),
            summary(1.75e9 + 4, 300, tensor("double", 2, nested(4, struct.pack("<d", 0.1)))),
            summary(1.75e9 + 4, 300, tensor("ints", 9, nested(10, varint(-5)))),
            summary(1.75e9 + 5, -1, simple("loss", 0.25)),
            record(event(1.75e9 + 5, 300, nested(4, bytes(100)))),
            summary(1.75e9 + 6, 301, simple("loss", 0.125)),
        ]
    )


def record_around(data: bytes, offset: int) -> tuple[int, int]:
    """The record a byte is in."""
    start = 0
    while True:
        end = start + 16 + struct.unpack_from("<Q", data, start)[0]
        if offset < end:
            return start, end
        start = end
