"""Writes the tables of settings.md and emulator.md, next to this file, from the code.

    python docs/generate_tables.py

Run it after changing SETTINGS in flask_centralauth/setting_table.py, or the emulator's options or commands; a
test compares them.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from flask_centralauth.config import Settings
from flask_centralauth.emulator import check_command, cli, commands
from flask_centralauth.setting_table import SETTINGS, Setting

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
_TABLE: Final = re.compile(
    r"(<!-- made by docs/generate_tables.py: (\w+) -->\n).*?(?=\n<!-- end -->)", re.DOTALL
)


def settings() -> Iterator[str]:
    """Yield the lines of the table of settings, required ones first."""
    yield "| setting | effect | type | default |"
    yield "|---|---|---|---|"
    for setting in SETTINGS:
        names = f"`{setting.key}`" + (f" (`{setting.environment}`)" if setting.environment else "")
        kind = _TYPES[Settings.__annotations__[setting.name]]
        yield f"| {names} | {setting.effect} | {kind} | {_default(setting)} |"


def options() -> Iterator[str]:
    """Yield the lines of the table of the emulator's options."""
    yield "| option | does |"
    yield "|---|---|"
    for option, effect in _options_of(cli.parser()):
        yield f"| `{option}` | {effect} |"


def emulator_commands() -> Iterator[str]:
    """Yield the lines of the table of what one asks a running emulator from a terminal."""
    yield "| command | does | its own options |"
    yield "|---|---|---|"
    parsers = [check_command.parser(), *map(commands.parser, commands.COMMANDS)]
    shared = set.intersection(*(set(_options_of(parser)) for parser in parsers))
    for parser in parsers:
        *_, name = parser.prog.split()
        argument = (
            parser.format_usage().rpartition("]")[2].rstrip()
        )  # behind the options: " FILE", or nothing
        own = [row for row in _options_of(parser) if row not in shared]
        told = "<br>".join(f"`{option}` {effect}" for option, effect in own)
        yield f"| `{name}{argument}` | {parser.description} | {told} |"


def _options_of(parser: ArgumentParser) -> list[tuple[str, str]]:
    os.environ["COLUMNS"] = "1000"  # one line each
    return _OPTION.findall(parser.format_help())


PAGES: Final = ("settings.md", "emulator.md")
TABLES: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "settings": settings,
    "options": options,
    "commands": emulator_commands,
}


def text(page: str) -> str:
    """Return a page with its tables as the code has them now."""

    def table(match: re.Match[str]) -> str:
        lines = "\n".join(TABLES[match[2]]())
        return f"{match[1]}\n{lines}\n"

    return _TABLE.sub(table, (FOLDER / page).read_text(encoding="utf-8"))


def _default(setting: Setting) -> str:
    if type(setting.default) is object:  # a marker, not a value
        return "required"
    number = isinstance(setting.default, float)
    return f"`{setting.default:g}`" if number else f"`{setting.default!r}`"


if __name__ == "__main__":
    for name in PAGES:
        (FOLDER / name).write_text(text(name), encoding="utf-8")
