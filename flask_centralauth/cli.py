"""``flask centralauth``: what an operator asks an application from the terminal."""

from __future__ import annotations

import click
from flask.cli import AppGroup

centralauth_commands = AppGroup("centralauth", help="CentralAuth logins of this application.")


@centralauth_commands.command(
    "emulator", context_settings={"ignore_unknown_options": True, "help_option_names": []}
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def emulator(options: tuple[str, ...]) -> None:
    """Run a local CentralAuth. Options as for python -m flask_centralauth.emulator."""
    from .emulator.cli import main

    raise SystemExit(main(options))
