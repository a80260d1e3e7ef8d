"""One table: kind of error, its code on the wire, the exit status of a command that meets it."""

from __future__ import annotations

from enum import Enum

from runwise_protocol.harmless import clean


class Kind(Enum):
    """What went wrong, as far as a caller can act on it. Value: (wire code, exit status)."""

    USAGE = ("usage", 2)
    NOT_FOUND = ("not-found", 3)
    AMBIGUOUS = ("ambiguous", 4)
    UNREADABLE = ("unreadable", 5)
    UNREACHABLE = ("unreachable", 6)
    INTERNAL = ("internal", 70)

    @property
    def code(self) -> str:
        """The word that names it on the wire."""
        return self.value[0]

    @property
    def exit_status(self) -> int:
        """What a command exits with."""
        return self.value[1]

    @classmethod
    def of(cls, code: str) -> Kind:
        """The kind of a wire code; an unknown one (from a newer daemon) is INTERNAL."""
        return next((kind for kind in cls if kind.code == code), cls.INTERNAL)


class RunwiseError(Exception):
    """An answer that is an error: one line that names what was found and expected, and the next thing to type."""

    def __init__(self, kind: Kind, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """As a person reads it; names that logs gave are in it, which may hold anything."""
        hint = f"\nhint: {clean(self.hint)}" if self.hint else ""
        return f"error: {clean(self.message)}{hint}"
