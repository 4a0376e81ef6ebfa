"""Redis with a sentinel, and Redis Cluster, as docs/deployment.md sets them up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from flask import Flask
from flask_session.redis import RedisSessionInterface
from redis.sentinel import Sentinel

from tests.browser_client import Browser
from tests.conftest import RunServer

from . import programs
from .conftest import MakeWorker
from .redis_topologies import RedisClusterNode, RedisReplica, RedisSentinel
from .servers import HOST, RedisServer
from .store_engines import WAIT, StoreEngine

FAILOVER_WITHIN = 20.0


@pytest.fixture
def sentinel() -> Iterator[tuple[RedisServer, RedisSentinel]]:
    programs.REDIS.require()
    primary = RedisServer()
    servers = [primary, RedisReplica(primary), watching := RedisSentinel(primary)]
    try:
        for server in servers:
            server.start()
        yield primary, watching
    finally:
        for server in reversed(servers):
            server.close()


@pytest.fixture
def cluster() -> Iterator[RedisClusterNode]:
    programs.REDIS.require()
    node = RedisClusterNode()
    try:
        node.start()
        yield node
    finally:
        node.close()


def test_logins_survive_a_failover(
    sentinel: tuple[RedisServer, RedisSentinel],
    make_worker: MakeWorker,
    live_server: RunServer,
    browser: Browser,
) -> None:
    primary, watching = sentinel
    timeouts = {"socket_timeout": WAIT, "socket_connect_timeout": WAIT}
    sentinels: Any = Sentinel([(HOST, watching.port)], sentinel_kwargs=timeouts, **timeouts)  # type: ignore[no-untyped-call]
    client = sentinels.master_for("main")
    with redis.Redis(host=HOST, port=watching.port) as asked:
        until(lambda: len(asked.sentinel_slaves("main")) == 1)

    def set_up(app: Flask) -> Callable[[], None]:
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=client)
        return lambda: client.close()

    engine = StoreEngine("sentinel", set_up, client.dbsize)
    worker = make_worker(engine)
    url = live_server(worker.app).url
    browser.get(f"{url}/private")
    browser.get(f"{url}/cart/add/apple")
    until(lambda: client.wait(1, 100) == 1)  # what is not replicated yet is lost with the primary
    primary.kill()

    seen = set()
    began = time.monotonic()
    while (status := browser.fetch(f"{url}/api").status) != 200:
        seen.add(status)
        assert browser.get(f"{url}/public").status == 200
        assert time.monotonic() - began < FAILOVER_WITHIN
    assert seen <= {503}
    assert browser.fetch(f"{url}/cart").json() == ["apple"]
    browser.submit(f"{url}/api/auth/logout")
    assert browser.fetch(f"{url}/api").status == 401
    engine.close()


def test_logins_in_a_cluster(
    cluster: RedisClusterNode, make_worker: MakeWorker, live_server: RunServer, browser: Browser
) -> None:
    client = redis.RedisCluster(host=HOST, port=cluster.port, socket_timeout=WAIT)

    def set_up(app: Flask) -> Callable[[], None]:
        # Flask-Session 0.8 takes no cluster client at its front door: it warns, and uses localhost.
        with redis.Redis() as nowhere:
            interface: Any = RedisSessionInterface(app, client=nowhere, key_prefix="session:")
        interface.client = client
        app.session_interface = interface
        return client.close

    engine = StoreEngine("cluster", set_up, client.dbsize)
    url = live_server(make_worker(engine).app).url
    other = live_server(make_worker(engine).app).url
    browser.get(f"{url}/cart/add/apple")
    assert browser.get(f"{url}/private").text == "alice@example.com"
    assert browser.fetch(f"{other}/api").status == 200
    assert browser.fetch(f"{other}/cart").json() == ["apple"]
    browser.get(f"{other}/private")
    browser.submit(f"{other}/api/auth/logout")
    assert browser.fetch(f"{url}/api").status == 401
    engine.close()


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + FAILOVER_WITHIN
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # no signal tells what a sentinel knows
