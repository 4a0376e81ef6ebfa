"""What is said about settings that can be used as they are, but were probably not meant like that.

Sentences with the keys of the `CentralAuth` object without a name; `config` logs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from .names import PREFIX
from .protocol import SECRET_LENGTHS
from .setting_checks import did_you_mean


def about_unknown_keys(keys: Iterable[str], known: set[str]) -> Iterator[str]:
    """Name the keys that look like settings of ours and are none."""
    for key in sorted(keys):
        if key.startswith(PREFIX) and key not in known:
            yield f"{key} is not a setting{did_you_mean(key, known) or '.'}"


def about_secret_length(secret: str) -> Iterator[str]:
    """Say that a client secret cannot be a whole one of CentralAuth's."""
    if len(secret) not in SECRET_LENGTHS:
        lengths = ", ".join(map(str, SECRET_LENGTHS))
        yield (
            f"CENTRALAUTH_CLIENT_SECRET has {len(secret)} characters; CentralAuth's secrets have {lengths}. "
            "Was it cut when it was copied?"
        )


def about_callback(callback_url: str | None, url_prefix: str, *, any_host: bool) -> Iterator[str]:
    """Say that logins may come back to a wrong address, or to one that a stranger chose.

    :param any_host: whether requests for any host name are answered.
    """
    route = f"{url_prefix}/callback"
    if callback_url is not None:
        if not urlsplit(callback_url).path.endswith(route):
            yield (
                f"CENTRALAUTH_CALLBACK_URL does not end in {route}, where this application answers. Unless "
                "a proxy changes the path, logins will end on a page that does not exist."
            )
    elif any_host:
        yield (
            "The Host header, which anybody can choose, decides where logins come back to. Set "
            f"CENTRALAUTH_CALLBACK_URL to the whole address, for example https://app.example{route}, or "
            "Flask's TRUSTED_HOSTS."
        )
