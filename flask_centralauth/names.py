"""What the parts of one `CentralAuth` object are called, where an application has several.

The one without a name is ``centralauth`` everywhere; one named ``staff`` is
``staff_centralauth`` in endpoints, templates and ``app.extensions``, and its settings begin
with ``STAFF_CENTRALAUTH_``.
"""

from __future__ import annotations

import re
from typing import Final

#: Of the object without a name: blueprint, template variable and key of ``app.extensions``.
UNNAMED: Final = "centralauth"
#: How the settings begin.
PREFIX: Final = "CENTRALAUTH_"

_NOTICES: Final = f"_{UNNAMED}_notices"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_KEY: Final = re.compile(rf"(?<![A-Z0-9_]){PREFIX}")


def identifier_of(name: str | None) -> str:
    """Return what a `CentralAuth` object is called.

    :raises ValueError: the name cannot be part of an endpoint and of a setting's key.
    """
    if name is None:
        return UNNAMED
    # With ours inside, its keys would begin like those of another.
    if not _NAME.fullmatch(name) or UNNAMED in name:
        raise ValueError(
            f"{name!r} cannot be the name of a CentralAuth object: take a short word of small letters, "
            "digits and underscores that says whom it is for, like 'staff'."
        )
    return f"{name}_{UNNAMED}"


def name_of(identifier: str) -> str | None:
    """Return the name an object was given, or None."""
    return None if identifier == UNNAMED else identifier.removesuffix(f"_{UNNAMED}")


def setting_prefix(identifier: str) -> str:
    """Return how the keys of an object's settings begin."""
    return f"{identifier.upper()}_"


def session_key(identifier: str) -> str:
    """Return the key of an object's login in the session."""
    name = name_of(identifier)
    # A dot: no other key of this package has one.
    return f"_{UNNAMED}" if name is None else f"_{UNNAMED}.{name}"


def notices_key(identifier: str) -> str:
    """Return the key of an object's messages in the session."""
    name = name_of(identifier)
    return _NOTICES if name is None else f"{_NOTICES}.{name}"


def is_message_key(key: str) -> bool:
    """Say whether a session key holds nothing but messages that nobody has read yet."""
    return key == "_flashes" or key.startswith(_NOTICES)


def spelled_for(identifier: str, sentence: str) -> str:
    """Return a sentence that names settings with their keys as an object's are."""
    return sentence if identifier == UNNAMED else _KEY.sub(setting_prefix(identifier), sentence)
