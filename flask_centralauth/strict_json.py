"""JSON as CentralAuth may send it, and nothing else.

Python's decoder accepts NaN, lets the last of two equal keys win, fails in three
different ways on hostile input, and passes lone surrogates that break the page later.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 16
MAX_DIGITS: Final = 18


class UnusableJSON(ValueError):
    """The text is not JSON, or JSON that no honest service sends."""


def loads(text: bytes) -> Any:
    """Return the value of strict JSON in UTF-8.

    :raises UnusableJSON: not UTF-8, not JSON, NaN or infinity, integers beyond 18
        digits, repeated keys, more than 16 levels, or lone surrogates.
    """
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_int=_bounded_int,
            parse_float=_finite_float,
        )
        _check_depth(value, 0)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnusableJSON:
        raise
    except RecursionError:
        raise UnusableJSON("nested too deeply") from None
    except UnicodeError:
        raise UnusableJSON("not clean UTF-8") from None
    except ValueError:
        raise UnusableJSON("not JSON") from None
    return value


def loads_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object; raise `UnusableJSON` for anything else."""
    value = loads(text)
    if not isinstance(value, dict):
        raise UnusableJSON("not a JSON object")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise UnusableJSON("a key is repeated")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise UnusableJSON("NaN or infinity")


def _bounded_int(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise UnusableJSON("an integer is too large")
    return int(digits)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise UnusableJSON("a number is too large")
    return value


def _check_depth(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UnusableJSON("nested too deeply")
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    for item in value:
        _check_depth(item, depth + 1)
