"""Curves as a training logs them, without chance beyond a fixed seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from runwised.analysis.curve import Curve, Event
from runwised.analysis.detect import detect
from runwised.analysis.roles import recognise
from runwised.settings import AnomalyDetection

Floats = NDArray[np.float64]


@pytest.fixture
def falling() -> Callable[..., Floats]:
    """A loss from 4 down to about 2, with normal noise."""

    def make(n: int, noise: float = 0.02, seed: int = 1) -> Floats:
        return 2 + 2 * (1 + np.arange(n) / (0.02 * n)) ** -0.5 + noise * np.random.default_rng(seed).normal(size=n)

    return make


@pytest.fixture
def steady() -> Callable[..., Floats]:
    """Values around a level, each off by a factor of about 5 %."""

    def make(n: int, level: float = 1.0, seed: int = 2) -> Floats:
        return level * np.exp(0.05 * np.random.default_rng(seed).normal(size=n))

    return make


@pytest.fixture
def find() -> Callable[..., list[Event]]:
    """The events on curves given by name, as arrays (a point at every step) or as whole curves."""

    def found(curves: dict[str, Floats | Curve], config: AnomalyDetection | None = None) -> list[Event]:
        whole = {
            key: given if isinstance(given, Curve) else Curve.of(np.arange(len(given)), given)
            for key, given in curves.items()
        }
        return detect(whole, recognise(whole), config or AnomalyDetection())

    return found
