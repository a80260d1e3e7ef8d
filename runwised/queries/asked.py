"""A query as the command line that asks it."""

from __future__ import annotations

from runwise_protocol.query import Query
from runwise_protocol.schema import parameters

from runwised.render.command import command, keys_option


def asked(query: Query, *more: str) -> str:
    """The command line of a query, without ``runwise``: only what differs from the defaults, then `more` words."""
    words = [query.command]
    for parameter in parameters(type(query)):
        value = getattr(query, parameter.name)
        if value == parameter.default or value is False:
            continue
        if not parameter.flags:
            words += value if isinstance(value, tuple) else [str(value)]
        elif parameter.many:
            words += [parameter.flags[0], *keys_option(value)[1:]]
        else:
            words += [parameter.flags[0]] + ([] if value is True else [str(value)])
    return command(*words, *more)


def counted(query: Query, names: tuple[str, ...]) -> bool:
    """Whether one of these fields was set to something else than its default."""
    asked_for = (parameter for parameter in parameters(type(query)) if parameter.name in names)
    return any(getattr(query, parameter.name) != parameter.default for parameter in asked_for)
