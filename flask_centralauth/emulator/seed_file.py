"""The file an emulator starts from: client, whitelist, settings, users."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .service import DEFAULT_CLIENT_ID
from .usage import UsageError


def read_seed_file(path: Path) -> dict[str, Any]:
    """Return client, whitelist, settings and users of a JSON file, or a TOML one by its name.

    :raises UsageError: when it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = _toml(text, path) if path.suffix == ".toml" else json.loads(text)
    except OSError as problem:
        raise UsageError(f"cannot read {path}: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise UsageError(f"{path} is not {kind}: {problem}") from problem
    if isinstance(value, list):
        value = {"users": value}
    if not isinstance(value, dict):
        raise UsageError(f"{path} must hold a list of users, or an object with users and settings")
    known = {"client": dict, "whitelist": list, "settings": dict, "users": list}
    for name, content in value.items():
        if name not in known:
            raise UsageError(f"{path}: there is no {name!r}; known: {', '.join(known)}")
        if not isinstance(content, known[name]):
            raise UsageError(f"{path}: {name} must be {'a list' if known[name] is list else 'an object'}")
    for user in value.get("users", ()):
        if not isinstance(user, str) and not (isinstance(user, dict) and "email" in user):
            raise UsageError(f"{path}: a user is an e-mail address or an object with email, not {user!r}")
    return value


def _toml(text: str, path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib.loads(text)
    raise UsageError(f"{path}: TOML needs Python 3.11; write it as JSON")  # pragma: no cover - only on 3.10


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return two files as one; where both say something the second counts, and lists continue."""
    result = dict(one)
    for name, value in other.items():
        before = result.get(name)
        if isinstance(value, list):
            result[name] = [*(before or ()), *value]
        else:
            result[name] = {**(before or {}), **value}
    return result


def client_of(option: str | None, seed_file: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return client id and secret of ``--client``, else of the file; no secret makes a fresh one.

    :raises UsageError: when they cannot be.
    """
    from_file = seed_file.get("client", {})
    if option is None:
        for name in ("id", "secret"):
            if not isinstance(from_file.get(name, ""), str):
                raise UsageError(f"client {name} must be text, not {from_file[name]!r}")
        return from_file.get("id") or DEFAULT_CLIENT_ID, from_file.get("secret")
    client_id, colon, secret = option.partition(":")
    if not client_id or not colon or not secret:
        raise UsageError("--client is ID:SECRET, with a secret of 16, 24, 32, 48 or 64 characters")
    return client_id, secret
