"""Decodes one event of a TensorBoard event file: when it is of, what it logs, what else it says.

Field numbers after ``event.proto``, ``summary.proto``, ``tensor.proto`` and ``types.proto`` of TensorFlow, and
``plugin_data.proto`` of TensorBoard's hparams plugin.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from runwised.formats import protowire
from runwised.formats.protowire import I32, I64, Shape, double, fields, length_delimited, shaped, signed, var
from runwised.formats.record import Path, escape
from runwised.formats.tfevents_tensors import Tensor, decode_tensor, single

_TIME = 1 << 3 | I64
_STEP, _SUMMARY, _SESSION = var(2), length_delimited(5), length_delimited(7)
_VALUE = length_delimited(1)
_TAG, _SIMPLE, _IMAGE, _HISTOGRAM, _AUDIO, _TENSOR, _METADATA = (
    length_delimited(1),
    2 << 3 | I32,
    length_delimited(4),
    length_delimited(5),
    length_delimited(6),
    length_delimited(8),
    length_delimited(9),
)
_START = 1
_HPARAMS_PREFIX = "_hparams_/"
_HPARAMS = "hparams"
_SILENT_PLUGINS = {
    _HPARAMS,
    "custom_scalars",
    "graphs",
    "graph_keras_model",
    "graph_run_metadata",
    "graph_run_metadata_graph",
}
"""What describes the display or the program; no values of the run."""
_MAGICS = ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "wav"), (b"BM", "bmp"))


class Event(NamedTuple):
    """One event, decoded."""

    step: int
    """0 where the event has none: that is how 0 is written."""
    time: float
    """Epoch seconds; NaN where there is none."""
    values: dict[str, Any]
    """By escaped key: int, float, str, list of str, or an object with ``_type``."""
    config: list[tuple[Path, Any]]
    """Hyperparameters it tells."""
    starts: bool
    """A session starts: what earlier ones logged from `step` on is void."""


def decode_event(message: bytes) -> Event:
    """The event in a record's data. Raises WireError where the message is cut or malformed."""
    step, time, starts = 0, math.nan, False
    values: dict[str, Any] = {}
    config: list[tuple[Path, Any]] = []
    for tag, value in fields(message):
        if tag == _TIME:
            time = double(value)
        elif tag == _STEP:
            step = signed(value)
        elif tag == _SUMMARY:
            for inner, logged in fields(value):
                if inner == _VALUE:
                    _add_value(logged, values, config)
        elif tag == _SESSION:
            starts = dict(fields(value)).get(var(1)) == _START
    return Event(step, time, values, config, starts)


def _add_value(message: bytes, values: dict[str, Any], config: list[tuple[Path, Any]]) -> None:
    name, plugin, content, kind, logged = "", "", b"", 0, b""
    for tag, value in fields(message):
        if tag == _TAG:
            name = protowire.text(value)
        elif tag == _METADATA:
            plugin, content = _plugin(value)
        elif tag in _DECODERS:
            kind, logged = tag, value
    if plugin == _HPARAMS or name.startswith(_HPARAMS_PREFIX):
        config += _hyperparameters(content)
    elif kind and plugin not in _SILENT_PLUGINS:
        values[escape((name,))] = _DECODERS[kind](logged)


def _plugin(metadata: bytes) -> tuple[str, bytes]:
    """Name and content of the plugin a value is for."""
    data = dict(fields(dict(fields(metadata)).get(length_delimited(1), b"")))
    return protowire.text(data.get(length_delimited(1), b"")), data.get(length_delimited(2), b"")


def _hyperparameters(content: bytes) -> list[tuple[Path, Any]]:
    """Those that a ``session_start_info`` holds; numbers are float64 there, integers too."""
    start = dict(fields(content)).get(length_delimited(3), b"")
    found = shaped(start, {length_delimited(1): ("hparams{}", _hyperparameter)}).get("hparams", {})
    return [((key,), value) for key, value in found.items() if value is not None]


def _hyperparameter(value: bytes) -> float | str | bool | None:
    """A ``google.protobuf.Value``, unless it is null, a list or an object."""
    for tag, inner in fields(value):
        if tag == 2 << 3 | I64:
            return double(inner)
        if tag == length_delimited(3):
            return protowire.text(inner)
        if tag == var(4):
            return bool(inner)
    return None


def _image(message: bytes) -> dict[str, Any]:
    shape: Shape = {var(1): ("height", signed), var(2): ("width", signed), length_delimited(4): ("data", bytes)}
    image = shaped(message, shape)
    return _image_object(image.get("width", 0), image.get("height", 0), image.get("data", b""))


def _image_object(width: int, height: int, data: bytes) -> dict[str, Any]:
    return {"_type": "image-file", "width": width, "height": height, "format": _format(data), "size": len(data)}


def _format(data: bytes) -> str:
    return next((name for magic, name in _MAGICS if data.startswith(magic)), "")


def _histogram(message: bytes) -> dict[str, Any]:
    names = ("min", "max", "num", "sum")
    shape = {number << 3 | I64: (name, double) for number, name in enumerate(names, 1)}
    told = shaped(message, {**shape, length_delimited(7): ("buckets", len)})
    count = told.get("num", 0.0)
    return {
        "_type": "histogram",
        "bins": told.get("buckets", 0) // 8,
        "count": count,
        "min": told.get("min", 0.0),
        "max": told.get("max", 0.0),
        "mean": told.get("sum", 0.0) / count if count else math.nan,
    }


def _audio(message: bytes) -> dict[str, Any]:
    shape: Shape = {
        1 << 3 | I32: ("sample_rate", single),
        var(2): ("channels", signed),
        var(3): ("frames", signed),
        length_delimited(4): ("data", bytes),
        length_delimited(5): ("format", protowire.text),
    }
    audio = shaped(message, shape)
    size = len(audio.pop("data", b""))
    return {"_type": "audio-file", **audio, "size": size}


def _tensor(message: bytes) -> Any:
    """A number, text, or what a tensor of a known form shows; else its type and shape."""
    tensor = decode_tensor(message)
    if tensor.texts:
        return _text_tensor(tensor)
    if len(tensor.shape) < 2 and len(tensor.numbers) == 1:
        return tensor.numbers[0]
    if tensor.is_histogram():
        return _bucket_histogram(tensor.numbers)
    return {"_type": "tensor", "dtype": tensor.dtype, "shape": list(tensor.shape)}


def _text_tensor(tensor: Tensor) -> Any:
    """Text; or an encoded image (its width and height stand before it) or sound, which are strings as well."""
    texts = tensor.texts
    if len(texts) > 2 and texts[0].isdigit() and texts[1].isdigit() and _format(texts[2]):
        return _image_object(int(texts[0][:9]), int(texts[1][:9]), texts[2])
    if _format(texts[0]):
        return {"_type": "audio-file", "format": _format(texts[0]), "size": len(texts[0])}
    told = [protowire.text(part) for part in texts]
    return told[0] if len(told) == 1 else told


def _bucket_histogram(numbers: list[Any]) -> dict[str, Any]:
    """Of (left edge, right edge, count) triples; the mean takes each bucket at its middle."""
    lefts, rights, counts = numbers[::3], numbers[1::3], numbers[2::3]
    count = sum(counts)
    middle = sum((left + right) / 2 * n for left, right, n in zip(lefts, rights, counts, strict=True))
    return {
        "_type": "histogram",
        "bins": len(counts),
        "count": count,
        "min": min(lefts),
        "max": max(rights),
        "mean": middle / count if count else math.nan,
    }


_DECODERS = {
    _SIMPLE: single,
    _IMAGE: _image,
    _HISTOGRAM: _histogram,
    _AUDIO: _audio,
    _TENSOR: _tensor,
}
