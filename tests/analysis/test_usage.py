from __future__ import annotations

import numpy as np

from runwised.analysis.curve import Curve
from runwised.analysis.roles import system_roles
from runwised.analysis.usage import machine


def found(**values: np.ndarray) -> list[tuple[str, str, int, int | None]]:
    names = {"gpu": "gpu.0.gpu", "other": "gpu.1.gpu", "held": "gpu.0.memoryAllocated", "host": "memory_percent"}
    curves = {names[name]: Curve.of(np.arange(len(given)), given) for name, given in values.items()}
    return [(event.kind, event.key, event.step, event.end_step) for event in machine(curves, system_roles(curves))]


def around(level: float, n: int = 400) -> np.ndarray:
    return level + 0.5 * np.random.default_rng(4).normal(size=n)


def test_memory_that_grows_steadily_towards_its_limit_is_told_from_where_it_began_to() -> None:
    host = around(40)
    host[160:] += np.linspace(0, 45, 240)
    ((kind, key, step, end),) = found(host=host)
    assert (kind, key, end) == ("memory", "memory_percent", None)
    assert abs(step - 160) <= 8


def test_memory_that_grows_and_levels_off_is_none() -> None:
    assert found(host=around(20) + 50 * (1 - np.exp(-np.arange(400) / 60))) == []


def test_growth_that_would_take_many_runs_to_matter_is_none() -> None:
    assert found(held=around(20) + np.linspace(0, 9, 400)) == []


def test_a_gpu_that_is_full_from_the_start_is_an_allocator_s_and_one_that_fills_up_is_told() -> None:
    assert found(held=around(98.5)) == []
    held = around(70)
    held[250:] = 98.5
    assert found(held=held) == [("memory", "gpu.0.memoryAllocated", 250, None)]


def test_a_host_that_is_full_is_told_however_it_came_to_that() -> None:
    host = around(97.5)
    assert found(host=host) == [("memory", "memory_percent", 0, None)]
    host[300:] = 50
    assert found(host=host) == [("memory", "memory_percent", 0, 300)]


def test_a_gpu_that_waits_for_a_tenth_of_the_run_is_told_with_its_samples() -> None:
    gpu = around(90)
    gpu[200:280] = 5
    assert found(gpu=gpu, held=around(50)) == [("low_utilisation", "gpu.0.gpu", 200, 280)]


def test_a_start_up_and_pauses_for_evaluations_are_none() -> None:
    gpu = around(90)
    gpu[:60] = 0
    for start in range(100, 390, 40):
        gpu[start : start + 10] = 10
    assert found(gpu=gpu, held=around(50)) == []


def test_a_gpu_that_waits_all_the_time_is_told_if_the_run_holds_memory_on_it() -> None:
    assert found(gpu=around(8), held=around(50)) == [("low_utilisation", "gpu.0.gpu", 0, None)]
    assert found(gpu=around(8), held=around(1)) == []
    assert found(gpu=around(90), held=around(50), other=np.zeros(400)) == []


def test_few_samples_say_nothing() -> None:
    assert found(gpu=np.zeros(20), held=np.full(20, 99.0), host=np.full(20, 99.0)) == []


def test_only_percentages_of_the_machine_have_a_role() -> None:
    names = ["gpu.0.gpu", "gpu.10.memoryAllocated", "gpu.0.memoryAllocatedBytes", "gpu.0.memory", "proc.memory.rssMB"]
    assert system_roles([*names, "memory_percent", "cpu", "proc.memory.percent"]) == {
        "gpu.0.gpu": "utilisation",
        "gpu.10.memoryAllocated": "gpu_memory",
        "memory_percent": "host_memory",
        "proc.memory.percent": "host_memory",
    }
