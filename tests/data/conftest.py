import pytest
from xfeed.data import Community, community


@pytest.fixture(scope="session")
def whole() -> Community:
    """The community of the demo, made once for all tests."""
    return community()
