"""The whole command line: one command per contract in the registry, and what a front-end does by itself."""

from __future__ import annotations

import difflib
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from runwise_protocol import __version__
from runwise_protocol.argv import COMMON, Parsed, build
from runwise_protocol.client import Upgraded, here
from runwise_protocol.errors import Kind, RunwiseError
from runwise_protocol.queries import BY_COMMAND, QUERIES
from runwise_protocol.query import Query
from runwise_protocol.schema import Parameter, parameters

from runwise_cli import daemon, mcp, skill
from runwise_cli.ask import again, ask
from runwise_cli.demo import demo
from runwise_cli.doctor import doctor
from runwise_cli.init import init, init_auto
from runwise_cli.service.install import install, uninstall
from runwise_cli.service.logs import logs
from runwise_cli.watch import watch

_FIRST_CLAUSE = re.compile(r"[.:;](?:\s|$)| \(")


def main(argv: Sequence[str], said: str = "") -> int:
    """Run one command line (the words after ``runwise``); its answer goes to stdout. The exit status.

    `said`: see `runwise_cli.ask.ask`.
    """
    if sys.stdout is None:  # closed by who started us; the lane has put something else at its number
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - open as long as we run
    app = command_line(partial(ask, said=said))
    try:
        _known_command(app, argv)
        try:
            return int(app(argv or ["list"], prog_name="runwise", standalone_mode=False) or 0)
        except Upgraded as upgraded:
            again(upgraded)
    except RunwiseError as error:
        return _report(error, argv)
    except typer.TyperException as error:
        return _report(_usage_error(error, argv), argv)
    except typer.Abort:
        return 130


def command_line(answer: Callable[[Parsed], int]) -> typer.Typer:
    """The application; every command made from a contract ends in `answer`, which gives the exit status."""
    app = typer.Typer(
        help="Understand training runs at once: list, then one run, then its curves, then its rows.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )
    app.callback()(_options)
    for query in QUERIES:
        text = inspect.cleandoc(query.__doc__ or "").replace("``", "")
        app.command(query.command, help=text, short_help=_FIRST_CLAUSE.split(text)[0])(_command(query, answer))
    app.command("demo")(_demo)
    app.command("init")(_init)
    app.command("watch")(_watch)
    app.command("status", help="Tell how the daemon is, what it watches, and how.")(_told(daemon.status))
    app.command("doctor")(_doctor)
    app.add_typer(_daemon_commands(), name="daemon", help="Start or stop the background process that answers.")
    app.add_typer(_one_command("install", _install_mcp), name="mcp", help="Give coding agents the tools, over MCP.")
    app.add_typer(_one_command("install", _install_skill), name="skill", help="Tell coding agents of the commands.")
    return app


def _daemon_commands() -> typer.Typer:
    group = typer.Typer(rich_markup_mode=None)
    for verb in (daemon.start, daemon.stop, daemon.status, daemon.restart):
        group.command(verb.__name__, help=verb.__doc__)(_told(verb))
    group.command("logs")(_logs)
    group.command("install")(_install)
    group.command("uninstall")(_uninstall)
    return group


def _one_command(name: str, command: Callable[..., int]) -> typer.Typer:
    group = typer.Typer(rich_markup_mode=None)
    group.callback()(_nothing)  # without it Typer would do away with the command's name
    group.command(name)(command)
    return group


def _nothing() -> None:
    """What stands before a command of a group."""


def _told(verb: Callable[[], tuple[str, int]]) -> Callable[[], int]:
    def command() -> int:
        text, status = verb()
        print(text)
        return status

    return command


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"runwise {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """What may stand before a command; its callbacks do the work."""


def _demo() -> int:
    """Show the way from the list to the rows, on a small project that ships with runwise."""
    return demo()


def _watch(
    runs: Annotated[list[str] | None, typer.Argument(help="Runs; all that go on when left out.")] = None,
) -> int:
    """Watch runs until they end: their lines kept fresh at a terminal, one line for each change in a pipe."""
    return watch(runs or ())


def _init(
    name: Annotated[str | None, typer.Option(help="The project's name; its folder's name by default.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace settings that are there; with --auto: fill in what they lack.")
    ] = False,
    auto: Annotated[bool, typer.Option("--auto", help="Learn the schema from the project's runs.")] = False,
) -> int:
    """Write runwise.json, the project's settings, to its root."""
    where = here()
    if not auto:
        print(f"wrote {init(Path(where.cwd), os.environ, name, force)}")
        return 0
    written, learned = init_auto(Path(where.cwd), where.environ, name, force)
    print(f"wrote {written.path}\n{learned}", end="")
    if written.kept:
        print(f"kept as they were: {', '.join(written.kept)}")
    return 0


def _doctor(
    everything: Annotated[bool, typer.Option("--all", help="Look at every index, not at a sample.")] = False,
    form: Annotated[str, typer.Option("--format", help="text or json.", metavar="text|json")] = "text",
) -> int:
    """Look for what may keep runwise from working, and say what mends it; exit status 1 where something does not."""
    if form not in ("text", "json"):
        raise RunwiseError(Kind.USAGE, f"no format {form!r}; text, json", "runwise doctor --format json")
    text, status = doctor(everything=everything, form=form)
    print(text)
    return status


def _logs(
    lines: Annotated[int, typer.Option("-n", "--lines", help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with those that come.")] = False,
) -> int:
    """Show the end of the daemon's log."""
    return logs(lines, follow)


def _install(
    show: Annotated[
        bool, typer.Option("--print", "--dry-run", help="Show what would be written, and change nothing.")
    ] = False,
    hardening: Annotated[bool, typer.Option("--hardening", help="Shut it off further; needs user namespaces.")] = False,
) -> int:
    """Make the daemon a service of yours, started at the first question; what is written is shown."""
    for told in install(show=show, hardening=hardening):
        print(told, end="", flush=True)
    return 0


def _uninstall(
    purge: Annotated[bool, typer.Option("--purge", help="Remove indexes, tags, notes and the log too.")] = False,
) -> int:
    """Stop the daemon, and remove the service."""
    for told in uninstall(purge=purge):
        print(told, end="", flush=True)
    return 0


def _install_mcp(
    clients: Annotated[list[str] | None, typer.Argument(help=f"{', '.join(mcp.CLIENTS)}; all that are there.")] = None,
    show: Annotated[bool, typer.Option("--print", help="Show what would change, and change nothing.")] = False,
) -> int:
    """Add runwise-mcp to the configuration of coding agents' clients; what changes is shown."""
    for told in mcp.install(clients or [], Path.home(), show):
        print(told, end="", flush=True)
    return 0


def _install_skill(
    show: Annotated[bool, typer.Option("--print", help="Show the page, and write nothing.")] = False,
) -> int:
    """Write a page about runwise where coding agents look for their skills."""
    print(skill.install(Path.home(), show), end="")
    return 0


def _command(query: type[Query], answer: Callable[[Parsed], int]) -> Callable[..., int]:
    """A function whose signature is the contract's: Typer reads it as if it had been written by hand."""

    def command(**given: Any) -> int:
        return answer(build(query, {name: value for name, value in given.items() if value not in (None, False, [])}))

    declared = [_declared(parameter) for parameter in (*parameters(query), *COMMON)]
    command.__signature__ = inspect.Signature(declared, return_annotation=int)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in declared}
    return command


def _declared(parameter: Parameter) -> inspect.Parameter:
    """A parameter as Typer reads it: every value a text, for `build` is the one place that knows the bounds."""
    kind: Any = list[str] | None if parameter.many else str | None
    default = None
    if parameter.kind == "switch":
        kind, default = bool, False
        told = typer.Option(*parameter.flags, help=parameter.help)
    elif not parameter.flags:
        told = typer.Argument(help=parameter.help, metavar=parameter.name.upper())
    else:
        choices = list(parameter.choices)
        unless = f" ({parameter.default} by default)" if parameter.default else ""
        told = typer.Option(
            *parameter.flags,
            help=parameter.help.rstrip(".") + unless + ".",
            metavar="|".join(choices) or parameter.kind.upper(),
            autocompletion=lambda: choices,
        )
    return inspect.Parameter(
        parameter.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, told]
    )


def _known_command(app: typer.Typer, argv: Sequence[str]) -> None:
    """Refuse an unknown command by naming the nearest one."""
    word = argv[0] if argv else ""
    if word.partition("=")[0] in {flag for parameter in COMMON for flag in parameter.flags}:
        raise RunwiseError(Kind.USAGE, f"{word} stands before a command", shlex.join(["runwise", "list", *argv]))
    known = [command.name or "" for command in app.registered_commands]
    known += [group.name or "" for group in app.registered_groups]
    if not word or word.startswith("-") or word in known:
        return
    nearest = difflib.get_close_matches(word, known, n=1)
    again = shlex.join(["runwise", *nearest, *argv[1:]])
    run = f"{shlex.join(['runwise', 'run', word])}, or runwise --help"
    raise RunwiseError(Kind.USAGE, f"no command {word!r}", again if nearest else run)


def _usage_error(error: typer.TyperException, argv: Sequence[str]) -> RunwiseError:
    """What Typer refused, in our words, with the nearest flag where one was misspelled."""
    query = BY_COMMAND.get(argv[0]) if argv else None
    flags = [flag for known in (*parameters(query), *COMMON) for flag in known.flags] if query else []
    nearest = difflib.get_close_matches(getattr(error, "option_name", ""), flags, n=1)
    message = re.split(r"\.\s|\n", str(error).strip())[0].rstrip(".")
    hint = " ".join(["runwise", argv[0], *nearest]) if nearest else ""
    return RunwiseError(Kind.USAGE, message[:1].lower() + message[1:], hint)


def _report(error: RunwiseError, argv: Sequence[str]) -> int:
    if error.kind is Kind.USAGE and not error.hint:
        command = [word for word in argv[:1] if not word.startswith("-")]
        error = RunwiseError(error.kind, error.message, " ".join(["runwise", *command, "--help"]))
    print(error, file=sys.stderr)
    return error.kind.exit_status
