"""Which engine an application's Flask-Session uses, and whether logins can be kept there.

Source: "Flask-Session: interfaces" (their public ``client`` and ``cache`` attributes).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from flask import Flask

from .engines import CachelibEngine, EmbeddedEngine, Engine, MemcachedEngine, RedisEngine, SQLAlchemyEngine
from .errors import ConfigurationError

log = logging.getLogger("flask_centralauth")

_STORAGE: Final = (
    "open_session",
    "save_session",
    "regenerate",
    "_retrieve_session_data",
    "_upsert_session",
    "_delete_session",
)


#: Which extra brings what Flask-Session does not find; for memcached it tries several and names none.
_EXTRAS: Final = {"redis": "redis", "flask_sqlalchemy": "sqlalchemy", None: "memcached"}


def set_up_flask_session(app: Flask) -> None:
    """Let Flask-Session read its settings.

    :raises ConfigurationError: the client of the store is not installed.
    """
    from flask_session import Session

    try:
        Session(app)
    except ImportError as missing:
        extra = _EXTRAS.get(missing.name)
        package = f"flask_centralauth[{extra}]" if extra else missing.name
        raise ConfigurationError(
            message=f"SESSION_TYPE needs a package that is not installed ({missing}). pip install '{package}'"
        ) from None


def engine_of(session_interface: Any) -> Engine:
    """Return the adapter for the engine a Flask-Session interface uses. Makes no call.

    Needs an application context.

    :raises ConfigurationError: sessions in the browser's cookie, or an engine that
        cannot keep login records.
    """
    if overridden := _overridden_storage(type(session_interface)):
        raise ConfigurationError(
            message=f"{type(session_interface).__name__} overrides {', '.join(overridden)}, which would not "
            "be called: sessions are read and written here. What it does to their content, its serializer "
            "can do (encode and decode)."
        )
    for name, adapter in _ADAPTERS.items():
        if any(base.__name__ == name for base in type(session_interface).__mro__):
            return adapter(session_interface)
    raise ConfigurationError(
        message=f"{type(session_interface).__name__} cannot keep logins: tokens do not go to the browser, "
        "and every worker has to see the same sessions. Use Flask-Session with SESSION_TYPE redis, "
        "memcached, sqlalchemy or cachelib, or leave SESSION_TYPE out for the embedded default."
    )


def _overridden_storage(interface_class: type) -> list[str]:
    """Return the ways to the store that an application's own interface has changed."""
    return [
        name
        for name in _STORAGE
        for owner in [next((base for base in interface_class.__mro__ if name in vars(base)), None)]
        if owner is not None and owner.__module__.partition(".")[0] not in ("flask", "flask_session")
    ]


def _redis_engine(interface: Any) -> Engine:
    options = getattr(interface.client, "connection_pool", None)
    if getattr(options, "connection_kwargs", {}).get("decode_responses"):
        raise ConfigurationError(
            message="SESSION_REDIS has decode_responses=True, and sessions are no text. "
            "Give Flask-Session a client of its own without it."
        )
    return RedisEngine(interface.client)


def _memcached_engine(interface: Any) -> Engine:
    client = interface.client
    if not all(hasattr(client, method) for method in ("get_many", "replace", "touch", "add")):
        raise ConfigurationError(
            message=f"SESSION_MEMCACHED is a {type(client).__module__}.{type(client).__name__}. "
            "Use pymemcache: PooledClient, or HashClient with use_pooling=True."
        )
    if getattr(client, "ignore_exc", False):
        # A server that is down would look like one that knows nobody.
        raise ConfigurationError(
            message="SESSION_MEMCACHED has ignore_exc=True: when memcached is down, everybody would be "
            "signed out. Leave it out."
        )
    if type(client).__name__ == "Client":
        log.warning(
            "SESSION_MEMCACHED is pymemcache's Client, which threads must not share: use PooledClient."
        )
    return MemcachedEngine(client)


def _cachelib_engine(interface: Any) -> Engine:
    if isinstance(interface.cache, EmbeddedEngine):
        return interface.cache
    log.warning(
        "%s is for development: cachelib unpickles what it reads, its writes are not atomic among processes, "
        "and most of its caches drop logins silently when they are full. See docs/sessions.md.",
        type(interface.cache).__name__,
    )
    return CachelibEngine(interface.cache)


def _sqlalchemy_engine(interface: Any) -> Engine:
    table = interface.sql_session_model.__table__
    engine = interface.client.engines[table.metadata.info.get("bind_key")]
    if type(engine.pool).__name__ == "StaticPool":
        raise ConfigurationError(
            message="SESSION_SQLALCHEMY is an SQLite database in memory, whose one connection is the "
            "application's too: reading a session would undo what it has pending. Use a file, or leave "
            "SESSION_TYPE out."
        )
    # Flask-Session has opened a connection to make its table; processes forked from this one
    # would share it.
    engine.dispose()
    return SQLAlchemyEngine(engine, table)


# By name: importing the classes would import every store's client.
_ADAPTERS: Final[dict[str, Callable[[Any], Engine]]] = {
    "RedisSessionInterface": _redis_engine,
    "MemcachedSessionInterface": _memcached_engine,
    "CacheLibSessionInterface": _cachelib_engine,
    "FileSystemSessionInterface": _cachelib_engine,
    "SqlAlchemySessionInterface": _sqlalchemy_engine,
}
