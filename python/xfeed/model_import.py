"""From a published checkpoint to a bundle of a data directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

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

    with models.place_for_new() as temporary:
        report = import_checkpoint(source, temporary, table_dtype=table_dtype)
        models.accept(temporary, report.bundle_id)
    if activate:
        models.activate(report.bundle_id)
    return report
