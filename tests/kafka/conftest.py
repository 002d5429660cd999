"""Two things to talk to: the client library's own mock of a broker, and a real one."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.broker import Broker, missing_tool
from tests.kafka.wire import Wire, mock_address

_names = itertools.count()


@pytest.fixture
def topic() -> str:
    """The name of a topic that no other test has."""
    return f"topic-{next(_names)}"


@pytest.fixture(scope="session")
def real_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with new_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def real(real_broker: Broker) -> Wire:
    """A real broker that all tests share; do not stop it."""
    return Wire(real_broker.address)


@pytest.fixture
def sasl_address(real_broker: Broker) -> str:
    """Where the shared broker asks for a name and a password."""
    return real_broker.sasl_address


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A real broker of this test's own, running."""
    directory = tmp_path / "broker"
    directory.mkdir()
    with new_broker(directory) as broker:
        yield broker


@pytest.fixture(scope="session")
def _mock() -> Iterator[str]:
    with mock_address() as address:
        yield address


@pytest.fixture
def mock(_mock: str) -> Wire:
    """The mock broker. Its topics make themselves, with four partitions."""
    return Wire(_mock)


def new_broker(directory: Path) -> Broker:
    """A broker, or the end of the test where it cannot be."""
    lack = missing_tool()
    if lack:
        if os.environ.get("CI") == "true":
            pytest.fail(lack)
        pytest.skip(lack)
    return Broker(directory)
