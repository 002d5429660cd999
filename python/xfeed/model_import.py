"""From a published checkpoint to a bundle of a data directory."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xfeed.models import ModelStore
    from xfeed.phoenix.bundles.table_streams import TableDtype
    from xfeed.phoenix.published.checkpoint import ImportReport


def import_model(
    source: Path, models: ModelStore, table_dtype: TableDtype, *, activate: bool
) -> ImportReport:
    """Writes a checkpoint as a bundle beside the others, and makes it serve if asked to.

    Raises:
        BundleError: the checkpoint or the bundle made from it is refused; what served before
            goes on serving.
    """
    from xfeed.phoenix.published.checkpoint import import_checkpoint

    models.directory.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix="new-", dir=models.directory))
    try:
        report = import_checkpoint(source, temporary, table_dtype=table_dtype)
        models.accept(temporary, report.bundle_id)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if activate:
        models.activate(report.bundle_id)
    return report
