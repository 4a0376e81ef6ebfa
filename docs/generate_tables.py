"""Writes the tables of settings.md and emulator.md, next to this file, from the code.

    python docs/generate_tables.py

Run it after changing SETTINGS in flask_centralauth/config.py or the emulator's options; a test compares them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from flask_centralauth.config import SETTINGS, Setting, Settings
from flask_centralauth.emulator.cli import parser

FOLDER: Final = Path(__file__).parent

_TYPES: Final = {
    "str": "text",
    "str | None": "text",
    "float": "number",
    "int": "whole number",
    "bool": "true or false",
    "tuple[str, ...]": "list of texts",
    "OptionalWords": "dict, or a function that returns one",
}
_OPTION: Final = re.compile(r"^  (--\S+(?: \S+)?)\s+(\S.*)$", re.MULTILINE)
_TABLE: Final = re.compile(r"(?<=<!-- made by docs/generate_tables.py -->\n).*?(?=\n<!-- end -->)", re.DOTALL)


def settings() -> Iterator[str]:
    """Yield the lines of the table of settings, required ones first."""
    yield "| setting | type | default | effect |"
    yield "|---|---|---|---|"
    for setting in SETTINGS:
        names = f"`{setting.key}`" + (f" (`{setting.environment}`)" if setting.environment else "")
        kind = _TYPES[Settings.__annotations__[setting.name]]
        yield f"| {names} | {kind} | {_default(setting)} | {setting.effect} |"


def options() -> Iterator[str]:
    """Yield the lines of the table of the emulator's options."""
    yield "| option | does |"
    yield "|---|---|"
    os.environ["COLUMNS"] = "1000"  # one line each
    for option, effect in _OPTION.findall(parser().format_help()):
        yield f"| `{option}` | {effect} |"


PAGES: Final[dict[str, Callable[[], Iterator[str]]]] = {"settings.md": settings, "emulator.md": options}


def text(page: str) -> str:
    """Return a page with its table as the code has it now."""
    table = "\n".join(PAGES[page]())
    return _TABLE.sub(lambda _match: f"\n{table}\n", (FOLDER / page).read_text(encoding="utf-8"))


def _default(setting: Setting) -> str:
    if type(setting.default) is object:  # a marker, not a value
        return "required"
    number = isinstance(setting.default, float)
    return f"`{setting.default:g}`" if number else f"`{setting.default!r}`"


if __name__ == "__main__":
    for name in PAGES:
        (FOLDER / name).write_text(text(name), encoding="utf-8")
