"""The servers are real, keep their port, and can be made to fail."""

from __future__ import annotations

import select
from collections.abc import Callable

import psycopg
import pymemcache
import pytest
import redis

from tests.services.servers import MemcachedServer, PostgresServer, RedisServer, Server


def _redis(server: Server, timeout: float = 5.0) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=timeout, retry=None)


def _ask_redis(server: Server, timeout: float) -> None:
    with _redis(server, timeout) as client:
        client.ping()


def _ask_memcached(server: Server, timeout: float) -> None:
    client = pymemcache.Client(server.url, connect_timeout=timeout, timeout=timeout)
    try:
        client.version()
    finally:
        client.close()


def _ask_postgres(server: Server, timeout: float) -> None:
    # Whole seconds, at least two: libpq's own limit.
    with psycopg.connect(server.url, connect_timeout=2) as connection:
        connection.execute("SELECT 1")


def test_redis_keeps_and_forgets(redis_server: RedisServer) -> None:
    with _redis(redis_server) as client:
        client.set("key", b"value")
        assert client.get("key") == b"value"
    redis_server.restore()
    with _redis(redis_server) as client:
        assert client.get("key") is None


def test_memcached_keeps_and_forgets(memcached_server: MemcachedServer) -> None:
    client = pymemcache.Client(memcached_server.url, timeout=5)
    client.set("key", b"value")
    assert client.get("key") == b"value"
    memcached_server.restore()
    assert client.get("key") is None
    client.close()


def test_postgres_keeps_over_a_restart_and_forgets(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url) as connection:
        connection.execute("CREATE TABLE kept (value text)")
        connection.execute("INSERT INTO kept VALUES ('value')")
    postgres_server.stop()
    postgres_server.start()
    with psycopg.connect(postgres_server.url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [("value",)]
    postgres_server.restore()
    with psycopg.connect(postgres_server.url) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT value FROM kept")


@pytest.mark.parametrize(
    ("fixture", "ask"),
    [
        ("redis_server", _ask_redis),
        ("memcached_server", _ask_memcached),
        ("postgres_server", _ask_postgres),
    ],
)
def test_servers_fail_and_recover(
    fixture: str, ask: Callable[[Server, float], None], request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(fixture)
    port = server.port
    ask(server, 5.0)

    server.pause()
    with pytest.raises((TimeoutError, redis.TimeoutError, psycopg.errors.ConnectionTimeout)):
        ask(server, 0.2)
    server.resume()
    ask(server, 5.0)

    server.kill()
    assert not server.is_running
    with pytest.raises((ConnectionError, redis.ConnectionError, psycopg.OperationalError)):
        ask(server, 5.0)
    server.start()
    assert server.port == port
    ask(server, 5.0)


def test_an_open_postgres_connection_hangs_while_paused(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        wire = connection.pgconn
        postgres_server.pause()
        wire.send_query(b"SELECT 1")
        answered, _, _ = select.select([wire.socket], [], [], 0.3)
        assert not answered
        postgres_server.resume()
        answered, _, _ = select.select([wire.socket], [], [], 10)
        assert answered
        result = wire.get_result()
        assert result is not None
        assert result.get_value(0, 0) == b"1"
        assert wire.get_result() is None
