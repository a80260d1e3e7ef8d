from typing import Any

import pytest

from runwised.catalog.processes import Holder, Process
from runwised.catalog.state import Evidence, Trainer, judge, span
from runwised.formats.record import Exit

NOW = 1_000_000.0
HOUR = 3600.0


def evidence(**known: Any) -> Evidence:
    return Evidence(**{"now": NOW, "empty": False, "here": "trainbox", "host": "trainbox", **known})


def state(**known: Any) -> tuple[str, str]:
    found = judge(evidence(**known))
    return found.state, found.proof


def living(
    pid: int = 4711, *, started: float = NOW - HOUR, visible: bool = False, command: str = "python t.py"
) -> Trainer:
    return Trainer(pid, Process(pid, started, command), visible)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, ("finished", "exit code 0")),
        (1, ("failed", "exit code 1")),
        (3, ("failed", "exit code 3")),
        (255, ("failed", "exit code 255")),
        (137, ("killed", "exit code 137 (SIGKILL)")),
        (143, ("killed", "exit code 143 (SIGTERM)")),
        (-9, ("killed", "exit code -9 (SIGKILL)")),
    ],
)
def test_an_exit_record_decides_whatever_else_there_is(code: int, expected: tuple[str, str]) -> None:
    assert state(exit=Exit(0, code), holder=Holder(1, None, trainer_lives=True)) == expected


def test_the_debug_logs_exit_code_counts_where_the_exit_record_is_missing() -> None:
    gone = Trainer(4711, None, visible=False)
    assert state(debug_exit_code=0, trainer=gone) == ("finished", "debug.log: exit code 0")
    assert state(debug_exit_code=1, host="node7", written_at=NOW) == ("failed", "debug.log: exit code 1")
    assert state(debug_exit_code=0, holder=Holder(1, 2, trainer_lives=True)) == ("running", "pid 2 is writing")


def test_a_process_that_holds_the_log_open_proves_life_on_any_host() -> None:
    assert state(holder=Holder(9, None, trainer_lives=True), host="pod-1") == ("running", "pid 9 is writing")
    assert state(holder=Holder(9, 4711, trainer_lives=True)) == ("running", "pid 4711 is writing")


def test_a_helper_that_outlives_its_training_process_proves_death() -> None:
    assert state(holder=Holder(9, 4711, trainer_lives=False), grown_at=NOW) == ("crashed", "pid 4711 is gone")


def test_a_log_let_go_by_the_process_that_held_it_proves_death_on_any_host() -> None:
    assert state(lost_holder=Holder(9, None, False), host="pod-1", grown_at=NOW - 1) == ("crashed", "pid 9 is gone")


def test_a_pid_that_nobody_has_proves_death_however_fresh_the_files() -> None:
    gone = Trainer(4711, None, visible=False)
    assert state(trainer=gone, written_at=NOW, grown_at=NOW - 1) == ("crashed", "pid 4711 is gone")


def test_a_pid_taken_by_a_later_process_proves_death() -> None:
    assert state(trainer=living(started=NOW - HOUR), started=NOW - 2 * HOUR) == ("crashed", "pid 4711 is gone")


def test_a_kernel_thread_with_the_pid_is_not_the_training_process() -> None:
    assert state(trainer=living(command=""), started=NOW)[0] == "crashed"


def test_a_living_pid_proves_life_where_its_files_cannot_be_seen() -> None:
    assert state(trainer=living(), started=NOW) == ("running", "pid 4711 lives")


def test_a_living_pid_that_has_other_logs_open_does_not_make_a_copy_run() -> None:
    assert state(trainer=living(visible=True), started=NOW, written_at=NOW)[0] == "crashed"


def test_a_pid_of_another_host_says_nothing() -> None:
    gone = Trainer(4711, None, visible=False)
    assert state(trainer=gone, host="node7", written_at=NOW - 5, started=NOW - 60) == (
        "running",
        "written 5 s ago, host node7",
    )


def test_the_same_host_may_be_written_with_its_domain() -> None:
    assert state(trainer=Trainer(4711, None, visible=False), host="trainbox.example.org")[0] == "crashed"


def test_a_pid_the_log_outlived_belongs_to_another_namespace() -> None:
    outlived = Trainer(5, None, visible=False, outlived=True)
    assert state(trainer=outlived, grown_at=NOW - 3) == ("running", "grew 3 s ago")


def test_growth_that_was_seen_proves_life_even_in_a_copy() -> None:
    fresh = {"grown_at": NOW - 10, "written_at": NOW - 10, "oldest_file_at": NOW - 12, "started": NOW - 9 * HOUR}
    assert state(host="node7", **fresh) == ("running", "grew 10 s ago, host node7")


def test_a_fresh_log_among_older_files_proves_life_on_another_host() -> None:
    assert state(host="node7", started=NOW - HOUR, oldest_file_at=NOW - HOUR, written_at=NOW - 30)[0] == "running"
    assert state(host="node7", started=NOW - 9 * HOUR, oldest_file_at=NOW - HOUR, written_at=NOW - 30)[0] == "running"


def test_a_copied_folder_does_not_run_however_new_its_files() -> None:
    copied = {"started": NOW - 3 * HOUR, "oldest_file_at": NOW - 2, "written_at": NOW - 1, "host": "node7"}
    assert state(last_time=NOW - 2 * HOUR, **copied) == ("crashed", "no exit record, silent for 2 h, host node7")
    assert state(**copied) == ("crashed", "no exit record, silent for 3 h, host node7")


def test_a_log_copied_without_its_companions_does_not_run_either() -> None:
    assert state(host="node7", started=NOW - 9 * HOUR, last_time=NOW - 5 * HOUR, written_at=NOW)[0] == "crashed"


def test_silence_is_first_doubt_then_death() -> None:
    quiet = {"host": "node7", "started": NOW - HOUR, "oldest_file_at": NOW - HOUR}
    assert state(written_at=NOW - 100, **quiet)[0] == "running"
    assert state(written_at=NOW - 400, **quiet) == ("unknown", "no exit record, last sign 7 min ago, host node7")
    assert state(written_at=NOW - 1000, **quiet)[0] == "crashed"


def test_a_run_without_data_is_empty_and_says_whether_anybody_is_there() -> None:
    assert state(empty=True, host=None) == ("empty", "no data yet")
    assert state(empty=True, holder=Holder(9, 4711, trainer_lives=True)) == (
        "empty",
        "no data yet, pid 4711 is writing",
    )


def test_a_preempted_run_is_so_once_nothing_writes_it() -> None:
    gone = Trainer(4711, None, visible=False)
    assert state(preempting=True, trainer=gone) == ("preempted", "marked as preempting, pid 4711 is gone")
    assert state(preempting=True, trainer=living(), started=NOW)[0] == "running"


def test_a_writer_that_ended_alone_leaves_the_run_open() -> None:
    ended = Exit(0, 0, not_complete=True)
    assert state(exit=ended, trainer=living(), started=NOW)[0] == "running"
    assert state(exit=ended, trainer=Trainer(4711, None, visible=False))[0] == "unknown"


def test_a_console_that_names_the_signal_makes_a_crash_a_kill() -> None:
    gone = Trainer(4711, None, visible=False)
    assert state(trainer=gone, last_words="SIGTERM") == ("killed", "pid 4711 is gone, its console says SIGTERM")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "60 min"), (7200, "2 h"), (100_000, "28 h"), (200_000, "2 d")],
)
def test_lengths_of_time_are_told_in_one_unit(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_log_that_cannot_say_how_it_ends_has_ended_unless_its_console_says_more() -> None:
    silent = {"tells_end": False, "host": None, "written_at": NOW - HOUR}
    assert state(**silent) == ("ended", "such logs do not say how they end, silent for 60 min")
    assert state(**silent, lost_holder=Holder(9, None, False)) == ("ended", "pid 9 is gone")
    proof = "such logs do not say how they end, silent for 60 min, its console ends with a traceback"
    assert state(**silent, raised=True) == ("crashed", proof)
    assert state(**silent, last_words="SIGTERM")[0] == "killed"
