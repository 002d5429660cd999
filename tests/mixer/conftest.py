from collections.abc import Callable, Iterator

import pytest
from xfeed.mixer import register, registry

TABLES = (
    registry.QUERY_HYDRATORS,
    registry.SOURCES,
    registry.HYDRATORS,
    registry.PYTHON_FILTERS,
    registry.SCORERS,
    registry.SELECTORS,
    registry.SIDE_EFFECTS,
)


@pytest.fixture
def registered() -> Iterator[Callable[[type], type]]:
    """Registers stages for one test."""
    before = [dict(table) for table in TABLES]
    yield register
    for table, known in zip(TABLES, before, strict=True):
        table.clear()
        table.update(known)
