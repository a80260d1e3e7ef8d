import pytest

from runwised.index.view import Line
from runwised.queries.causes import ending, is_end, saved, signal_of


def printed(*lines):
    """Lines from first to last, as the console gives them: newest first."""
    return [Line(float(at), True, text) for at, text in enumerate(lines)][::-1]


def trace(*last):
    return ["Traceback (most recent call last):", '  File "train.py", line 3, in <module>', "    step()", *last]


OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.1 GiB"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (OOM, "GPU out of memory"),
        ("RuntimeError: CUDA out of memory. Tried to allocate 20 MiB", "GPU out of memory"),
        ("MemoryError", "host out of memory"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", "host out of memory"),
        ("OSError: [Errno 28] No space left on device: 'ckpt/x.pt'", "disk full"),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", "CUDA error"),
        ("ValueError: Loss is nan, stopping training", "stopped by a check for NaN"),
        ("ModuleNotFoundError: No module named 'flash_attn'", "import error"),
        (
            "RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x3 and 4x3)",
            "shapes that do not fit",
        ),
        ("torch.distributed.DistBackendError: NCCL error in: x.cpp", "NCCL or another process of the group failed"),
        ("ValueError: shard 3 is cut short", "ValueError"),
        ("mine.OddError: what only we raise", "exception"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_the_last_exception_names_the_cause(line, cause):
    found = ending(printed("step 1", *trace(line)))
    assert found.cause == cause
    assert found.lines == ['File "train.py", line 3, in <module>', line]
    assert found.traceback


def test_a_message_of_several_lines_is_searched_whole():
    lines = trace("RuntimeError: Error(s) in loading state_dict for Net:", "\tsize mismatch for head.weight: copying")
    assert ending(printed(*lines)).cause == "shapes that do not fit"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch.", "host out of memory"),
        ("slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***", "time limit"),
        ("Segmentation fault (core dumped)", "killed by a signal"),
        ("Killed", "killed by a signal"),
        ("loss is NaN at step 9, aborting", "stopped by a check for NaN"),
    ],
)
def test_without_a_traceback_the_last_lines_name_it(line, cause):
    found = ending(printed("step 1", line, "cleaning up"))
    assert (found.cause, found.lines, found.traceback) == (cause, [line], False)


def test_a_process_that_ran_out_of_memory_is_the_reason_why_its_group_failed():
    last = "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:"
    found = ending(printed(f"[rank1]: {OOM}", "waiting", *trace(last)))
    assert found.cause == "GPU out of memory"
    assert found.lines == [f"[rank1]: {OOM}"]


def test_memory_trouble_that_was_survived_is_not_why_a_later_exception_came():
    assert (
        ending(printed(OOM, "retrying with half the batch", *trace("ValueError: no more data"))).cause == "ValueError"
    )


@pytest.mark.parametrize("line", ["step 900: loss nan", "grad norm was nan, step skipped", "done", ""])
def test_ordinary_lines_are_no_cause(line):
    found = ending(printed("step 1", line))
    assert found.cause is None
    assert not is_end(found)


def test_a_warning_alone_does_not_say_that_a_program_ended_badly():
    assert not is_end(ending(printed("ImportError: no flash_attn, going on without", "epoch 3 done")))
    assert is_end(ending(printed("ImportError: no flash_attn, going on without", *trace("ImportError: no torch"))))


def test_a_traceback_that_was_logged_long_before_the_end_does_not_say_that_a_program_ended_badly():
    assert not is_end(ending(printed(*trace("ValueError: skipped a sample"), *(f"step {n}" for n in range(500)))))


def test_an_empty_console_tells_nothing():
    assert ending([])[:3] == (None, [], False)


@pytest.mark.parametrize(
    ("code", "cause"),
    [(137, "killed by SIGKILL"), (-9, "killed by SIGKILL"), (143, "killed by SIGTERM"), (-11, "killed by SIGSEGV")],
)
def test_an_exit_code_tells_a_signal(code, cause):
    assert signal_of(code) == cause


@pytest.mark.parametrize("code", [None, 0, 1, 2, 128, 255])
def test_other_exit_codes_tell_none(code):
    assert signal_of(code) is None


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        (["Saving checkpoint to out/step_100.pt", "saved out/step_200.pt"], "out/step_200.pt"),
        (["Saving model checkpoint to runs/checkpoint-500", "loss 3"], "runs/checkpoint-500"),
        (["Model weights saved in runs/checkpoint-500/model.safetensors"], "runs/checkpoint-500/model.safetensors"),
        (["Saved 'my runs/last.ckpt'."], "runs/last.ckpt"),
        (["loading out/old.ckpt", "step 1"], None),
        (["saved the day"], None),
    ],
)
def test_the_last_checkpoint_that_was_saved_is_found(lines, path):
    assert saved(printed(*lines)) == path


def test_a_line_without_end_costs_no_more_than_its_beginning():
    assert ending(printed("x" * 5_000_000 + OOM)).cause is None
    assert saved(printed("saved " + "/." * 5_000_000)) is None
