"""What is said about settings that can be used as they are, but were probably not meant like that."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from .protocol import SECRET_LENGTHS
from .setting_checks import did_you_mean

log = logging.getLogger("flask_centralauth")

PREFIX: Final = "CENTRALAUTH_"


def warn_of_unknown_keys(keys: Iterable[str], known: set[str]) -> None:
    """Name the keys that look like settings of ours and are none."""
    for key in sorted(keys):
        if key.startswith(PREFIX) and key not in known:
            log.warning("%s is not a setting%s", key, did_you_mean(key, known) or ".")


def warn_of_secret_length(secret: str) -> None:
    """Say that a client secret cannot be a whole one of CentralAuth's."""
    if len(secret) not in SECRET_LENGTHS:
        log.warning(
            "CENTRALAUTH_CLIENT_SECRET has %d characters; CentralAuth's secrets have %s. "
            "Was it cut when it was copied?",
            len(secret),
            ", ".join(map(str, SECRET_LENGTHS)),
        )


def warn_of_callback(callback_url: str | None, url_prefix: str, *, any_host: bool) -> None:
    """Say that logins may come back to a wrong address, or to one that a stranger chose.

    :param any_host: whether requests for any host name are answered.
    """
    route = f"{url_prefix}/callback"
    if callback_url is not None:
        if urlsplit(callback_url).path.endswith(route):
            return
        log.warning(
            "CENTRALAUTH_CALLBACK_URL does not end in %s, where this application answers. Unless a proxy "
            "changes the path, logins will end on a page that does not exist.",
            route,
        )
    elif any_host:
        log.warning(
            "The Host header, which anybody can choose, decides where logins come back to. Set "
            "CENTRALAUTH_CALLBACK_URL to the whole address, for example https://app.example%s, or "
            "Flask's TRUSTED_HOSTS.",
            route,
        )
