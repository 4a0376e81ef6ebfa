"""Servers for the tests of this folder: one process of each per test process, clean for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

from tests.services.application import Application
from tests.services.servers import MemcachedServer, PostgresServer, RedisServer, Server
from tests.services.store_engines import NAMES, StoreEngine, make_engine

if TYPE_CHECKING:
    from flask_centralauth.emulator import Emulator

AnyServer = TypeVar("AnyServer", bound=Server)


class MakeWorker(Protocol):
    def __call__(self, engine: StoreEngine, **config: Any) -> Application: ...


def _running(server: AnyServer) -> Iterator[AnyServer]:
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    yield from _running(RedisServer())


@pytest.fixture(scope="session")
def memcached_process() -> Iterator[MemcachedServer]:
    yield from _running(MemcachedServer())


@pytest.fixture(scope="session")
def postgres_process() -> Iterator[PostgresServer]:
    yield from _running(PostgresServer())


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """A running, empty Redis: `.url`, `.port`, `.stop()`, `.start()`, `.kill()`, `.pause()`, `.resume()`."""
    redis_process.restore()
    return redis_process


@pytest.fixture
def memcached_server(memcached_process: MemcachedServer) -> MemcachedServer:
    """A running, empty memcached, handled like `redis_server`."""
    memcached_process.restore()
    return memcached_process


@pytest.fixture
def postgres_server(postgres_process: PostgresServer) -> PostgresServer:
    """A running, empty PostgreSQL, handled like `redis_server`; `.sqlalchemy_url` for SQLAlchemy."""
    postgres_process.restore()
    return postgres_process


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreEngine]:
    """Every engine a session can be kept in, empty."""
    made = make_engine(request.param, request, tmp_path)
    yield made
    made.close()


@pytest.fixture
def make_worker(emulator: Emulator, tmp_path: Path) -> MakeWorker:
    """`make_worker(engine, **config)`: an application; those on one engine are workers of one deployment."""

    def make(engine: StoreEngine, **config: Any) -> Application:
        return Application(emulator, engine, tmp_path, **config)

    return make
