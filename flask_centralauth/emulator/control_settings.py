"""Control API: settings, clock, organizations."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from ..errors import ErrorCode
from .checks import Refusal
from .clock import read_time, wire_time
from .control import add_all, only, required, sent_object
from .entities import Organization
from .web import the_service

Json = dict[str, Any]


def add_routes(blueprint: Blueprint) -> None:
    add_all(
        blueprint,
        [
            ("/health", "control_health", health, ("GET",)),
            ("/config", "config", show_config, ("GET",)),
            ("/config", "change_config", change_config, ("PATCH",)),
            ("/reset", "reset", reset, ("POST",)),
            ("/clock", "clock", show_clock, ("GET",)),
            ("/clock", "set_clock", set_clock, ("POST",)),
            ("/clients", "clients", list_clients, ("GET",)),
            ("/clients", "add_client", add_client, ("POST",)),
            ("/clients/<client_id>", "change_client", change_client, ("PATCH",)),
        ],
    )


def health() -> Json:
    """Whether it answers."""
    return {"status": "ok"}


def show_config() -> Json:
    """The settings, and what an application needs to use this emulator."""
    service = the_service()
    return {
        **service.settings.to_dict(),
        "base_url": service.internal_url or service.public_url,
        "client_id": service.organization.id,
    }


def change_config() -> Json:
    """Change settings until the next reset."""
    service = the_service()
    changes = sent_object()
    with service.lock:
        service.settings = service.settings.changed(changes)
    return show_config()


def reset() -> Json:
    """Back to the start; ``keep: ["users"]`` leaves the users as they are."""
    keep = only(sent_object(), keep=list).get("keep", [])
    if unknown := set(map(str, keep)) - {"users"}:
        raise Refusal(ErrorCode.ENTITY_INVALID, f"only users can be kept, not {', '.join(sorted(unknown))}")
    the_service().reset(keep_users="users" in keep)
    return {"status": "ok"}


def show_clock() -> Json:
    """The emulator's time."""
    clock = the_service().clock
    return {"now": wire_time(clock.now()), "frozen": clock.frozen, "offset": round(clock.offset, 3)}


def set_clock() -> Json:
    """Move the clock: ``advance`` (seconds), ``set`` (ISO 8601), ``freeze`` (true or false)."""
    clock = the_service().clock
    sent = only(sent_object(), advance=(int, float), set=str, freeze=bool)
    if "set" in sent:
        clock.set(read_time(sent["set"]))
    if "advance" in sent:
        clock.advance(sent["advance"])
    if "freeze" in sent:
        clock.freeze() if sent["freeze"] else clock.resume()
    return show_clock()


def _client(organization: Organization) -> Json:
    # The secret is for tests in other languages, which have to configure their application.
    return {
        "id": organization.id,
        "secret": organization.secret,
        "name": organization.name,
        "nextSecret": organization.next_secret,
    }


def list_clients() -> Json:
    """The organizations, with their secrets."""
    return {"clients": [_client(organization) for organization in the_service().store.organizations.values()]}


def add_client() -> Json:
    """Register another organization."""
    sent = only(sent_object(), id=str, secret=str)
    return _client(the_service().add_organization(required(sent, "id"), sent.get("secret")))


def change_client(client_id: str) -> Json:
    """Make a new secret (``rotate``), make it the only one (``activate``)."""
    service = the_service()
    organization = service.store.organizations.get(client_id)
    if organization is None:
        raise Refusal(ErrorCode.ENTITY_MISSING, f"there is no organization {client_id[:80]!r}")
    sent = only(sent_object(), rotate=bool, activate=bool)
    if sent.get("rotate"):
        service.rotate_secret(organization)
    if sent.get("activate"):
        service.activate_secret(organization)
    return _client(organization)
