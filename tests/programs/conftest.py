"""The servers that the tests of programs talk to, each started by the first test that needs it."""

from __future__ import annotations

import servers

postgres = servers.fixture(servers.postgres, "session")
redis = servers.fixture(servers.redis, "session")
mosquitto = servers.fixture(servers.mosquitto, "session")
rabbitmq = servers.fixture(servers.rabbitmq, "session")
