"""The one table of checks against numbers observed from the published releases.

The golden files are not part of the package. Each function takes the path of one file and says
whether it passed, what was expected and what was got; `GOLDEN` finds the function by file stem.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from xfeed.conformance import (
    phoenix_aug,
    phoenix_components,
    phoenix_learning,
    phoenix_models,
    phoenix_pipeline,
)
from xfeed.conformance.phoenix_differences import Verdict

GOLDEN: Final[dict[str, Callable[[Path], Verdict]]] = {
    **phoenix_components.GOLDEN,
    **phoenix_learning.GOLDEN,
    **phoenix_models.GOLDEN,
    **phoenix_aug.GOLDEN,
    **phoenix_pipeline.GOLDEN,
}
"""The check of each golden file, by its stem."""
