"""Everything an emulator remembers as one JSON object, to keep or to move."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from .clock import read_time, wire_time
from .entities import Session
from .service import Service
from .usage import UsageError

VERSION: Final = 1


def exported(service: Service) -> dict[str, Any]:
    """Return settings, organizations, users and sessions; secrets included."""
    with service.lock:
        return {
            "version": VERSION,
            "settings": service.settings.to_dict(),
            "clients": [{"id": o.id, "secret": o.secret} for o in service.store.organizations.values()],
            "users": [
                user.to_wire(base_url=service.public_url, affirmed_at=user.affirmation_date)
                for user in service.store.users.values()
            ],
            "sessions": [_plain(session) for session in service.store.sessions.values()],
        }


def import_state(service: Service, state: Mapping[str, Any]) -> None:
    """Replace what the emulator remembers by what :func:`exported` returned.

    :raises ValueError: when it is something else; nothing is changed then.
    """
    if state.get("version") != VERSION:
        raise ValueError(f"this is no exported state of version {VERSION}")
    scratch = Service(service.settings, users=())
    try:
        _load(scratch, state)
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"this is no exported state: {problem!r}") from None
    with service.lock:
        service.store, service.settings = scratch.store, scratch.settings


def read_state(path: Path) -> dict[str, Any]:
    """Return what :func:`write_state` has written.

    :raises UsageError: when the file cannot be read.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UsageError(f"cannot read {path}: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        raise UsageError(f"{path} is not JSON: {problem}") from problem
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds no exported state")
    return value


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write an exported state, for its owner's eyes only; the file is the old or the new one.

    :raises UsageError: when the file cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(state, file, indent=2)
        Path(name).replace(path)
    except OSError as problem:
        raise UsageError(f"cannot write {path}: {problem.strerror}") from problem


def _load(service: Service, state: Mapping[str, Any]) -> None:
    service.settings = service.settings.changed(state["settings"])
    service.store.organizations.clear()
    for client in state["clients"]:
        service.add_organization(client["id"], client["secret"])
    if not service.store.organizations:
        raise ValueError("an exported state has at least one client")
    service.store.users.clear()
    for user in state["users"]:
        service.add_user(**user)
    for fields in state["sessions"]:
        session = _session(fields)
        service.store.sessions[session.id] = session


def _plain(session: Session) -> dict[str, Any]:
    values = dataclasses.asdict(session)
    values["domains"] = sorted(session.domains)
    return {name: wire_time(v) if isinstance(v, datetime) else v for name, v in values.items()}


def _session(fields: Mapping[str, Any]) -> Session:
    values = dict(fields)
    for name in ("created", "last_seen", "affirmed_at"):
        values[name] = None if values.get(name) is None else read_time(values[name])
    values["domains"] = set(values["domains"])
    return Session(**values)
