"""Which column of the action table each head of a model fills, and which bit it reads.

A bundle that was fitted here has one head per discrete action. An imported one has the heads of
its release, by published number; some of ours are missing there and some of theirs mean nothing
here. A column without a head is NaN, which stands for "not predicted": it adds nothing to the
score and is named as missing where the score is explained.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xfeed.actions import ACTIONS, INDEX, N_DISCRETE
from xfeed.errors import BundleError
from xfeed.phoenix.bundles.read import Bundle
from xfeed.phoenix.model.heads import DWELL_HEAD

UNKNOWN: Final = -1
"""Column of a head that stands for no action of ours."""

PUBLISHED_DWELL_HEAD: Final = 1
"""The continuous head of the seconds on a post in the release of mid-2026."""


@dataclass(frozen=True, slots=True)
class HeadMap:
    """Heads of one model.

    Attributes:
        columns: (A,) row of the action table of each discrete head; -1 where there is none.
        dwell_head: the continuous head for the seconds on the post; None without one.
    """

    columns: npt.NDArray[np.int64]
    dwell_head: int | None

    @classmethod
    def of(cls, actions: tuple[str, ...], dwell_head: int | None) -> Self:
        """Finds the columns by name.

        Raises:
            BundleError: two heads stand for one action, or no head stands for any.
        """
        columns = np.array([INDEX.get(name, UNKNOWN) for name in actions], dtype=np.int64)
        columns[columns >= N_DISCRETE] = UNKNOWN
        known = columns[columns != UNKNOWN]
        if not len(known):
            raise BundleError(
                f"none of the heads `{', '.join(actions)}` is an action of this version",
                code="other_actions",
                hint="import or fit the bundle again with this version",
            )
        if len(np.unique(known)) != len(known):
            raise BundleError(
                f"two of the heads `{', '.join(actions)}` are the same action",
                code="other_actions",
                hint="import or fit the bundle again with this version",
            )
        return cls(columns, dwell_head)

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Self:
        """Heads of a bundle.

        The continuous heads have no names. Where rules turn them into seconds, the rules are about
        the dwell time; otherwise xfeed trains the first one, and a published model has the dwell
        time in the place that its release gave it.
        """
        if bundle.config.dwell_heads:
            dwell_head = bundle.config.dwell_heads[0].head
        else:
            imported = bundle.origin == "published-import"
            dwell_head = PUBLISHED_DWELL_HEAD if imported else DWELL_HEAD
        there = dwell_head < bundle.config.n_continuous
        return cls.of(bundle.actions, dwell_head if there else None)

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """(27,) columns of the action table that some head fills."""
        filled = np.zeros(len(ACTIONS), dtype=np.bool_)
        filled[self.columns[self.columns != UNKNOWN]] = True
        filled[INDEX["dwell_time"]] = self.dwell_head is not None
        return filled

    def multi_hot(self, bits: npt.NDArray[np.uint64]) -> Tensor:
        """Action bits (n,) as the model's own columns (n, A); an unknown action is absent."""
        shifts = np.maximum(self.columns, 0).astype(np.uint64)
        present = (bits[:, None] >> shifts & np.uint64(1)).astype(np.float32)
        present[:, self.columns == UNKNOWN] = 0
        return torch.from_numpy(present)

    def spread(self, logits: Tensor, seconds: Tensor) -> npt.NDArray[np.float32]:
        """Heads as columns of the action table.

        Args:
            logits: (C, A) log-odds.
            seconds: (C, n_continuous).

        Returns:
            (C, 27) probabilities, then seconds; NaN where no head fills the column.
        """
        out = np.full((len(logits), len(ACTIONS)), np.nan, dtype=np.float32)
        known = self.columns != UNKNOWN
        out[:, self.columns[known]] = _probabilities(logits.numpy())[:, known]
        if self.dwell_head is not None:
            out[:, INDEX["dwell_time"]] = seconds[:, self.dwell_head].numpy()
        return out


def _probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log-odds as probabilities.

    By NumPy, whose result for a value does not depend on where it stands in the array; torch
    treats the rest of a thread's share in another way, so a last bit would depend on the others.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        one = np.float32(1)
        probabilities: npt.NDArray[np.float32] = one / (one + np.exp(-logits))
    return probabilities
