"""The servers that the tests of programs talk to, each started by the first test that needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import servers


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> servers.Certificates:
    return servers.Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def postgres(certificates: servers.Certificates) -> Iterator[servers.Server]:
    with servers.postgres(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def redis(certificates: servers.Certificates) -> Iterator[servers.Server]:
    with servers.redis(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def mosquitto(certificates: servers.Certificates) -> Iterator[servers.Server]:
    with servers.mosquitto(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq(certificates: servers.Certificates) -> Iterator[servers.Server]:
    with servers.rabbitmq(certificates) as server:
        yield server
