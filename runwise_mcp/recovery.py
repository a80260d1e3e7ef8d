"""What the pump does when its daemon has gone: the next one is told how the session stands, and nobody waits for ever.

The handshake and the subscriptions are said again, word by word, and their answers swallowed. A request that is owed an
answer is asked once more, for to do so does no harm: what changes something does it once, however often it is asked.
When the next daemon goes with it too, it gets an error.
Where the daemon is of another version than this program, that has become an older one: it lets the program that is now
in its place take over, with the session in a file that has no name.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any, NoReturn

from runwise_protocol.errors import RunwiseError
from runwise_protocol.frames import FrameError
from runwise_protocol.paths import UnsafeFolder

from runwise_mcp.__main__ import RESUME, OtherVersion, begin, connect
from runwise_mcp.journal import CLIENT, DAEMON, Journal
from runwise_mcp.pump import Pump
from runwise_mcp.reach import reach

_INTERNAL = -32603
_GONE = "the daemon went away; ask again"


def recover(pump: Pump, lost: bool) -> None:
    """Give the pump a new daemon where one is needed now. `lost`: one has just gone, with what is open."""
    journal = pump.journal
    journal.settle()
    if lost:
        _give_up(pump)
        if not journal.open and not _may_listen(pump):
            return
    try:
        pump.connection = _connection(pump)
    except RunwiseError as error:
        print(error, file=sys.stderr)
        for request_id in [*journal.open]:
            _refuse(pump, request_id, f"{_GONE} ({error.message})")
        return
    opened = [*journal.open.values()]
    past = [line for line in journal.subscriptions.values() if line not in opened]
    begun = journal.handshake if journal.handshake and journal.handshake[0] not in opened else []
    pump.swallowed = {_id(line) for line in (*begun[:1], *past)}
    rest = b"".join(line + b"\n" for line in (*begun[1:], *past, *opened)) + journal.begun
    if begun:
        pump.to_daemon += begun[0] + b"\n"
        pump.later = rest
    else:
        pump.to_daemon += rest


def strained(pump: Pump, lines: bytes) -> bytes:
    """Lines from a new daemon without the answers that the client has; what waited for the first is sent on."""
    kept = []
    for line in lines.splitlines(keepends=True):
        message = json.loads(line)
        answered = json.dumps(message.get("id"))
        if "method" in message or answered not in pump.swallowed:
            kept.append(line)
            continue
        pump.swallowed.remove(answered)
        pump.to_daemon += pump.later
        pump.later = b""
    return b"".join(kept)


def left_to_us(descriptor: int) -> Journal:
    """The session that an older version of this program had; its descriptor is closed."""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        left = json.load(file)
    journal = Journal()
    journal.handshake = [line.encode("latin1") for line in left["handshake"]]
    for kept, told in ((journal.subscriptions, "subscriptions"), (journal.open, "open")):
        kept.update({name: line.encode("latin1") for name, line in left[told].items()})
    journal.again = {*left["again"]}
    journal.passed(CLIENT, left["begun"].encode("latin1"))
    return journal


def _connection(pump: Pump) -> Any:
    try:
        found = None if os.environ.get("RUNWISE_NO_DAEMON") else begin(connect())
    except (OSError, UnsafeFolder, FrameError):
        found = None  # whatever it is, starting a daemon mends it or says why not
    except OtherVersion:
        if not pump.resumed:
            _become_the_newer(pump)
        found = None
    try:
        return found or reach(replace=pump.resumed)
    except OtherVersion:
        _become_the_newer(pump)


def _become_the_newer(pump: Pump) -> NoReturn:
    while pump.to_client:
        del pump.to_client[: os.write(1, pump.to_client)]
    journal = pump.journal
    left = {
        "handshake": [line.decode("latin1") for line in journal.handshake],
        "subscriptions": {uri: line.decode("latin1") for uri, line in journal.subscriptions.items()},
        "open": {request_id: line.decode("latin1") for request_id, line in journal.open.items()},
        "again": [*journal.again],
        "begun": journal.begun.decode("latin1"),
    }
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(left).encode())
        file.flush()
        os.set_inheritable(file.fileno(), True)
        environ = {**os.environ, RESUME: str(file.fileno())}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)


def _give_up(pump: Pump) -> None:
    """Answer what is not to be asked once more, and note that the rest is."""
    journal = pump.journal
    for request_id in [*journal.open]:
        if request_id in journal.again:
            _refuse(pump, request_id, _GONE)
        else:
            journal.again.add(request_id)
    journal.settle()


def _refuse(pump: Pump, request_id: str, message: str) -> None:
    error = {"code": _INTERNAL, "message": message}
    line = json.dumps({"jsonrpc": "2.0", "id": json.loads(request_id), "error": error}).encode() + b"\n"
    pump.to_client += line
    pump.journal.passed(DAEMON, line)


def _may_listen(pump: Pump) -> bool:
    """Whether the client waits for news and it was not tried in vain since it last said something."""
    tried, pump.tried = pump.tried, True
    return bool(pump.journal.subscriptions) and not tried


def _id(line: bytes) -> str:
    return json.dumps(json.loads(line)["id"])
