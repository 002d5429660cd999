"""How far numbers of a model may be from those in a golden file, and how far they were."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Verdict = tuple[bool, str, str]
"""Whether it passed, what was expected, what was got."""

TOLERANCES: Final = {
    "logits_f32": 5e-5,
    "continuous_f32": 2e-5,
    "unit_vectors_f32": 2e-6,
    "float64": 1e-9,
    "logits_bf16": 0.25,
    "unit_vectors_bf16": 1e-2,
    "float64_august": 1e-6,
    "logits_f32_concat": 3e-4,
    "continuous_f32_concat": 3e-4,
    "logits_bf16_concat": 1.0,
    "loss_f32": 2e-5,
    "seconds_bf16": 1.0,
    "exact": 0.0,
    "steps_f32": 2e-6,
    "losses_f32": 2e-5,
    "losses_relative": 2e-6,
    "gradients_f32": 1e-4,
    "gradients_f64": 1e-6,
    "reported": 1e-5,
    "muon_bf16": 0.06,
    "probabilities_f32": 5e-5 / 4,
    "probabilities_bf16": 0.25 / 4,
}
"""Largest absolute difference allowed, as the authors of the golden files suggest.

A probability moves by at most a quarter of what its log-odds move.
"""


class Differences:
    """The largest difference found under each limit."""

    def __init__(self) -> None:
        self.worst: dict[str, float] = {}

    def note(self, limit: str, got: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
        """Keeps the largest difference under a limit; NaN and another shape count as infinite."""
        same = got.shape == expected.shape
        difference = float(np.abs(got - expected).max(initial=0)) if same else float("inf")
        if np.isnan(difference):
            difference = float("inf")
        self.worst[limit] = max(self.worst.get(limit, 0.0), difference)

    def verdict(self) -> Verdict:
        """Compares the largest differences with their limits; nothing compared is a failure."""
        passed = all(value <= TOLERANCES[limit] for limit, value in self.worst.items())
        expected = ", ".join(f"{limit} <= {TOLERANCES[limit]:g}" for limit in self.worst)
        got = ", ".join(f"{limit} {value:.2g}" for limit, value in self.worst.items())
        return passed and bool(self.worst), expected, got
