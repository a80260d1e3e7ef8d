"""Text that programs wrote: `clean` makes it harmless to show, `portable` possible to send."""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"[\x1b\x9b\x9d\x90\x98\x9e\x9f](?:"
    r"(?<=[\x1b])[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC with their text
    r"|(?<=[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?<=\x1b)\[[0-?]*[ -/]*[@-~]?"  # CSI
    r"|(?<=\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?<=\x1b)[ -/]*[0-~]?"
    r")"
)
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """One line that shows what it holds and nothing else.

    Terminal sequences (ANSI, OSC), control and C1 characters, zero-width, bidirectional and other invisible ones are
    taken out; line breaks and tabs become one space; lone surrogates become the replacement character.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _BREAKS.sub(" ", _ESCAPES.sub("", text))
    return _SURROGATES.sub("\ufffd", _INVISIBLE.sub("", text))


def portable(text: str) -> str:
    """The same where text must be Unicode: bytes of names that are none become ``\\udcff``."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
