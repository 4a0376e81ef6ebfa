"""``flask centralauth``: what an operator asks an application from the terminal.

The commands load the application themselves, so that one whose settings are refused is
told which, without a traceback, and the emulator needs no application at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click
from flask import Flask
from flask.cli import AppGroup, ScriptInfo

from .errors import ConfigurationError

if TYPE_CHECKING:
    from .config import Settings
    from .diagnosis import Finding
    from .state import State

MASK: Final = "********"

centralauth_commands = AppGroup("centralauth", help="CentralAuth logins of this application.")


@centralauth_commands.command("check", with_appcontext=False)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Find out what is wrong with the set-up, and how to correct it.

    Looks at settings, sessions, cookies and addresses and asks CentralAuth. Run it with
    the environment of the server. The exit status is 1 when there is a problem.
    """
    from .diagnosis import diagnose, diagnose_refused
    from .diagnosis.application import captured_log
    from .diagnosis.report import as_dict, as_text, has_problem

    findings: list[Finding]
    callback_url = None
    with captured_log():
        try:
            app = _load(ctx)
        except ConfigurationError as refused:
            findings = diagnose_refused(refused)
        else:
            findings, callback_url = diagnose(app)
    if as_json:
        click.echo(json.dumps(as_dict(findings, callback_url), indent=2))
    else:
        click.echo(as_text(findings))
    ctx.exit(1 if has_problem(findings) else 0)


@centralauth_commands.command("routes", with_appcontext=False)
@click.pass_context
def routes(ctx: click.Context) -> None:
    """Print the routes of the extension."""
    from .state import state_of

    app = _load_or_complain(ctx)
    identifiers = [state.identifier for state in state_of(app).siblings]
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.rpartition(".")[0] in identifiers]
    rows = []
    for rule in rules:
        methods = ", ".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        purpose = (app.view_functions[rule.endpoint].__doc__ or "").partition("\n")[0]
        rows.append((rule.rule, methods, rule.endpoint, purpose))
    _print_table(rows)


@centralauth_commands.command("settings", with_appcontext=False)
@click.pass_context
def settings(ctx: click.Context) -> None:
    """Print the settings in force; secrets are masked."""
    from .state import state_of

    app = _load_or_complain(ctx)
    rows = [row for state in state_of(app).siblings for row in _settings_of(state)]
    _print_table([*rows, *_shared_settings(app, state_of(app).settings)])


@centralauth_commands.command(
    "emulator",
    with_appcontext=False,
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def emulator(options: tuple[str, ...]) -> None:
    """Run a local CentralAuth. Options as for python -m flask_centralauth.emulator."""
    from .emulator.cli import main

    raise SystemExit(main(options))


def _load(ctx: click.Context) -> Flask:
    """Return the application of ``--app``.

    :raises ConfigurationError: ``init_app`` refused its settings.
    """
    from .names import UNNAMED

    app = ctx.ensure_object(ScriptInfo).load_app()
    if UNNAMED not in app.extensions:
        raise click.ClickException(
            f"The application {app.name!r} does not use CentralAuth: call CentralAuth(app), or "
            "centralauth.init_app(app) in its factory."
        )
    return app


def _load_or_complain(ctx: click.Context) -> Flask:
    try:
        return _load(ctx)
    except ConfigurationError as refused:
        raise click.ClickException(str(refused)) from None


def _settings_of(state: State) -> Iterator[tuple[str, str, str]]:
    from .names import spelled_for
    from .setting_table import SETTINGS

    for setting in SETTINGS:
        value = getattr(state.settings, setting.name)
        origin = "default" if value == setting.default_for(state.name) else "set"
        # One that is not set has nothing to hide, and masked it would look as if it were.
        masked = setting.secret and value is not None
        yield spelled_for(state.identifier, setting.key), MASK if masked else _shown(value), origin
    if (together := len(state.settings.client_secrets)) > 1:
        key = spelled_for(state.identifier, "CENTRALAUTH_CLIENT_SECRETS")
        yield key, MASK, f"set, {together} in force"


def _shared_settings(app: Flask, settings: Settings) -> Iterator[tuple[str, str, str]]:
    older = len(settings.secret_keys) - 1
    yield "SECRET_KEY", MASK, f"set, and {older} older" if older else "set"
    yield "PERMANENT_SESSION_LIFETIME", f"{settings.session_lifetime} seconds", ""
    for name, read in _COOKIE_SETTINGS.items():
        yield name, _shown(read(app.session_interface)(app)), ""


_COOKIE_SETTINGS: Final[dict[str, Callable[[Any], Callable[[Flask], Any]]]] = {
    "SESSION_COOKIE_NAME": lambda interface: interface.get_cookie_name,
    "SESSION_COOKIE_SECURE": lambda interface: interface.get_cookie_secure,
    "SESSION_COOKIE_SAMESITE": lambda interface: interface.get_cookie_samesite,
    "SESSION_COOKIE_DOMAIN": lambda interface: interface.get_cookie_domain,
    "SESSION_COOKIE_PATH": lambda interface: interface.get_cookie_path,
}


def _shown(value: object) -> str:
    return "a function of the application" if callable(value) else repr(value)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
