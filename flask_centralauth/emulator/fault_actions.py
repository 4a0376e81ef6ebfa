"""Every action a fault can take, with the options it understands.

The tables are the documentation: an unknown action or option is refused when the fault
is made, not when it strikes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

Options = Mapping[str, Any]


def _text(value: object) -> bool:
    # Whatever is text may end up in a header: no line breaks, nothing that UTF-8 cannot carry.
    return isinstance(value, str) and value.isprintable()


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000_000_000


def _status(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599


def _object(value: object) -> bool:
    return isinstance(value, dict) and _json(value)


def _headers(value: object) -> bool:
    return isinstance(value, dict) and all(
        _text(name) and name.isascii() and ":" not in name and _text(str(text))
        for name, text in value.items()
    )


def _names(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


def _json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _bytes(value: object) -> bool:
    return isinstance(value, (bytes, str))


def _any_message(value: object) -> bool:
    return isinstance(value, str)


Kinds = dict[str, Callable[[object], bool]]
_COMMON: Final[Kinds] = {"status": _status, "header": _headers, "content_type": _text}
_ERROR: Final[Kinds] = {"code": _text, "message": _any_message}

#: Answers instead of the endpoint, which then does nothing.
REPLACING: Final[dict[str, Kinds]] = {
    "error": {**_COMMON, **_ERROR, "facts": _object},
    "status": _COMMON,
    "body": {**_COMMON, "body": _bytes},
    "json": {**_COMMON, "json": _json},
    "redirect": {**_COMMON, "redirect": _text},
    "redirect_loop": _COMMON,
    "html": _COMMON,
    "empty": _COMMON,
    "invalid_json": _COMMON,
    "bom": _COMMON,
    "utf16": _COMMON,
    "nan": _COMMON,
    "huge_int": _COMMON,
    "deep": _COMMON,
    "duplicate_keys": _COMMON,
    "surrogate": _COMMON,
    "oversize": {**_COMMON, "bytes": _count},
    "gzip_bomb": {**_COMMON, "bytes": _count},
    "reset": {},
    "close": {},
}
#: Bends the true answer, after the endpoint did its work.
SHAPING: Final[dict[str, Kinds]] = {
    "pass": {},
    "patch": {**_COMMON, "patch": _object, "remove": _names},
    "header": _COMMON,
    "content_type": _COMMON,
    "many_headers": {**_COMMON, "count": _count},
    "truncate": {"bytes": _count},
    "chunk_garbage": {},
    "drip": {"bytes_per_second": _number},
    "slow_headers": {"bytes_per_second": _number},
}
#: Tampers with the redirect that brings the browser back.
CALLBACK: Final[dict[str, Kinds]] = {
    "pass": {},
    "drop_state": {},
    "wrong_state": {"state": _text},
    "repeat_state": {},
    "drop_code": {},
    "foreign_code": {"user": _text},
    "reuse_code": {},
    "strip_affirm": {},
    "add_affirm": {},
    "add_iss": {"iss": _text},
    "wrong_iss": {},
    "repeat_param": {"name": _text},
    "oversize_param": {"name": _text, "bytes": _count},
    "error": _ERROR,
    "error_without_state": _ERROR,
    "crlf": _ERROR,
    "html_in_description": _ERROR,
    "return_to": {"to": _text},
    "old_names": {},
    #: Somebody else's whole callback: their code, their state.
    "login_csrf": {"user": _text},
    #: Once in a hidden frame, then for all to see.
    "twice": {},
}
#: Options without which an action means nothing.
_NEEDED: Final = {"error": "code", "body": "body", "json": "json", "add_iss": "iss"}


def check_action(endpoint: str, action: str, options: Options) -> None:
    """Accept an action with its options.

    :raises ValueError: naming what does not exist or is of another type.
    """
    actions = CALLBACK if endpoint == "callback" else {**REPLACING, **SHAPING}
    if action not in actions:
        raise ValueError(f"{endpoint} has no fault {action!r}; choose one of: {', '.join(sorted(actions))}")
    kinds = actions[action]
    for name, value in options.items():
        if name not in kinds:
            known = f"it knows {', '.join(kinds)}" if kinds else "it has no options"
            raise ValueError(f"the fault {action!r} can do nothing with {name}; {known}")
        if not kinds[name](value):
            raise ValueError(f"the fault {action!r} cannot have {name} = {value!r:.80}")
    needed = _NEEDED.get(action)
    if needed is not None and needed not in options and not (endpoint == "callback" and action == "error"):
        raise ValueError(f"the fault {action!r} needs {needed}")
