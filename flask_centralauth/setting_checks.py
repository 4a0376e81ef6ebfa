"""How the value of one setting is checked: what is wrong with it, and the fix.

Pure functions from a raw value to a usable one. They never repeat the value they refuse:
it may be a secret.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

from .protocol import LAYOUTS
from .redirects import origin_of, safe_return_to

_PLACEHOLDER: Final = re.compile(r"change.?me|your[-_ ].*|<.*>|xxx+|none|null|undefined", re.IGNORECASE)
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
#: Characters, a third of them different.
MINIMUM_SHARED_KEY: Final = 32
_ENDPOINT: Final = re.compile(r"[A-Za-z_][\w.]*")

#: Texts or looks of CentralAuth's login page: fixed, or asked for at every login.
OptionalWords = Mapping[str, str] | Callable[[], Mapping[str, str] | None] | None


class InvalidSettingError(ValueError):
    """What is wrong with one value, and the fix; continues the sentence "KEY: it ..."."""


def is_loopback(host: str | None) -> bool:
    """Say whether a host name or address is this machine."""
    return host in {"localhost", "::1"} or bool(host and re.fullmatch(r"127(\.\d{1,3}){3}", host))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the nearest known word, if one is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def plain_text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidSettingError(
            f"is {type(value).__name__}, not text. from_prefixed_env() reads JSON: put the value in quotes."
        )
    return value


def credential(value: Any) -> str:
    text = plain_text(value)
    if not text:
        raise InvalidSettingError("is empty. Copy it from the organization's settings at CentralAuth.")
    if _PLACEHOLDER.fullmatch(text):
        raise InvalidSettingError(
            "is a placeholder. Copy the real one from the organization's settings at CentralAuth."
        )
    if not _VISIBLE.fullmatch(text):
        raise InvalidSettingError("has white space or characters beyond ASCII. Copy it again.")
    return text


def credentials(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidSettingError("is not a list. Write it like ['the new one', 'the old one'].")
    return tuple(credential(one) for one in value)


def client_id(value: Any) -> str:
    text = credential(value)
    if ":" in text:
        raise InvalidSettingError("has a colon, which HTTP Basic authentication cannot carry. Copy it again.")
    return text


def _web_address(value: Any) -> str:
    text = plain_text(value)
    try:
        url = urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:
        raise InvalidSettingError("is not a URL. Write it like https://example.com.") from None
    if url.scheme not in {"http", "https"} or not host or origin_of(text) is None:
        raise InvalidSettingError("is not an absolute URL. Write it with https:// and a host.")
    if "@" in url.netloc or url.query or url.fragment or "?" in text or "#" in text:
        raise InvalidSettingError("has a user name, query or fragment. Leave them out.")
    return text


def base_url(value: Any) -> str:
    text = _web_address(value)
    url = urlsplit(text)
    if url.path.strip("/"):
        raise InvalidSettingError("has a path. Give only scheme and host.")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise InvalidSettingError(
            "is http. Secrets and tokens travel there: use https (http only for this machine)."
        )
    return origin_of(text) or text


def callback_url(value: Any) -> str:
    text = _web_address(value)
    if not urlsplit(text).path.strip("/"):
        raise InvalidSettingError(
            "has no path. Give the whole address, for example https://app.example/api/auth/callback."
        )
    return text


def url_prefix(value: Any) -> str:
    text = plain_text(value).rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise InvalidSettingError("is not a path. Write it like /api/auth, with at least one segment.")
    return text


def path_or_endpoint(value: Any) -> str:
    text = plain_text(value)
    if text.startswith("/"):
        if safe_return_to(text, own_origins=()) is None:
            raise InvalidSettingError("is not a safe path of this application. Write it like /welcome.")
    elif not _ENDPOINT.fullmatch(text):
        raise InvalidSettingError("is neither a path that starts with / nor an endpoint name.")
    return text


def endpoint(value: Any) -> str:
    text = plain_text(value)
    if not _ENDPOINT.fullmatch(text):
        raise InvalidSettingError("is not an endpoint name. Write it like pages.sign_in.")
    return text


def hosts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidSettingError("is not a list. Write it like ('other.example',).")
    hosts = tuple(value)
    for host in hosts:
        if not isinstance(host, str) or "*" in host or not _is_origin(host):
            raise InvalidSettingError("has an entry that is not an exact host such as other.example.")
    return hosts


def _is_origin(host: str) -> bool:
    url = host if "://" in host else f"https://{host}"
    return origin_of(url) is not None and not urlsplit(url).path


def origins(value: Any) -> tuple[str, ...]:
    named = (host if "://" in host else f"https://{host}" for host in hosts(value))
    origins = tuple(dict.fromkeys(origin_of(url) or url for url in named))
    if any(url.startswith("http:") and not is_loopback(urlsplit(url).hostname) for url in origins):
        raise InvalidSettingError(
            "has an http entry. Codes travel there: use https (http only for this machine)."
        )
    if len(origins) == 1:
        raise InvalidSettingError("has one entry. List every domain, this application's own included.")
    return origins


def shared_key(value: Any) -> str:
    text = plain_text(value)
    strong = len(text) >= MINIMUM_SHARED_KEY and len(set(text)) >= MINIMUM_SHARED_KEY // 3
    if not strong or not _VISIBLE.fullmatch(text):
        raise InvalidSettingError(
            "is too easy to guess, or has blanks. Make one with python -c "
            "'import secrets; print(secrets.token_urlsafe(32))', and set the same one at every domain."
        )
    return text


def autologin_key(key: str | None, domains: tuple[str, ...], other_keys: Iterable[str | bytes]) -> str | None:
    """Return the key when it fits the other settings."""
    if bool(key) != bool(domains):
        raise InvalidSettingError("and CENTRALAUTH_AUTOLOGIN_DOMAINS belong together. Set both, or neither.")
    if key and key.encode() in (other.encode() if isinstance(other, str) else other for other in other_keys):
        raise InvalidSettingError(
            "is also another key. It goes to every domain: make one that is for nothing else."
        )
    return key


def session_type(engine: str) -> None:
    """Refuse what logins cannot be kept in, before Flask-Session asks for the package it takes."""
    if engine not in ("", "redis", "memcached", "sqlalchemy", "cachelib", "filesystem"):
        raise InvalidSettingError(
            "names no store that logins can be kept in. Set it to redis, memcached, sqlalchemy or cachelib, "
            "or leave it out: then sessions are in one SQLite file."
        )


def session_client(engine: str, value: Any) -> None:
    """Refuse what Flask-Session would drop, to keep sessions on this machine with a mere warning."""
    if engine == "redis" and not _is_a("redis.client.Redis", value):
        raise InvalidSettingError(
            f"is {type(value).__name__}, no redis.Redis: Flask-Session would use localhost. "
            "Write redis.Redis.from_url(...); for a Cluster see docs/deployment.md."
        )
    if engine == "memcached" and not all(hasattr(value, name) for name in ("get", "set", "delete")):
        raise InvalidSettingError(
            f"is {type(value).__name__}, no client: Flask-Session would use localhost. "
            "Write pymemcache.PooledClient('host:11211', ...)."
        )
    if engine == "sqlalchemy" and not _is_a("flask_sqlalchemy.extension.SQLAlchemy", value):
        raise InvalidSettingError(
            f"is {type(value).__name__}, not Flask-SQLAlchemy's object: Flask-Session would make another. "
            "Write SQLAlchemy(app), with the address in SQLALCHEMY_DATABASE_URI."
        )


def _is_a(class_name: str, value: object) -> bool:
    # By name: importing the class would import the store's client before it is needed.
    return any(f"{base.__module__}.{base.__qualname__}" == class_name for base in type(value).__mro__)


def number(minimum: float, maximum: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not minimum <= number <= maximum:
            raise InvalidSettingError(f"is not a number from {minimum:g} to {maximum:g} (seconds).")
        return number

    return read


def whole_seconds(minimum: int, maximum: int) -> Callable[[Any], int]:
    read = number(minimum, maximum)
    return lambda value: int(read(value))


def flag(value: Any) -> bool:
    # The environment has only text; "false" there must not read as true.
    spelled = {"true": True, "false": False, "1": True, "0": False}
    if isinstance(value, str) and value.lower() in spelled:
        return spelled[value.lower()]
    if not isinstance(value, bool):
        raise InvalidSettingError("is not true or false.")
    return value


def words(allowed: frozenset[str]) -> Callable[[Any], OptionalWords]:
    def read(value: Any) -> OptionalWords:
        if callable(value):
            return cast(OptionalWords, value)
        return checked_words(value, allowed)

    return read


def checked_words(value: Any, allowed: frozenset[str]) -> Mapping[str, str]:
    """Return a dict of texts for the login page; its keys are among the allowed ones.

    :raises ValueError: says which key or layout is unknown and what was probably meant.
    """
    if not isinstance(value, Mapping):
        raise InvalidSettingError("is neither a dict nor a function that returns one.")
    for key, text in value.items():
        if key not in allowed:
            raise InvalidSettingError(f"has the unknown key {key!r}{did_you_mean(str(key), allowed) or '.'}")
        if not isinstance(text, str):
            raise InvalidSettingError(f"has something else than text under {key!r}.")
        layouts = LAYOUTS.get(key)
        if layouts and text not in layouts:
            choice = did_you_mean(text, layouts) or f". Known are: {', '.join(sorted(layouts))}."
            raise InvalidSettingError(f"has an unknown layout under {key!r}{choice}")
    disclaimer = value.get("loginPageDisclaimer")
    if disclaimer is not None and not ("{terms}" in disclaimer and "{privacy}" in disclaimer):
        raise InvalidSettingError("must keep {terms} and {privacy} in 'loginPageDisclaimer'.")
    return dict(value)
