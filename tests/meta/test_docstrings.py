"""The examples in docstrings run."""

import doctest
from types import ModuleType

import pytest
from xfeed import events, feed


@pytest.mark.parametrize("module", [events, feed], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_run(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
