"""``python -m flask_centralauth.emulator token | curl | export | import``: asking one that runs."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ..protocol import LOGOUT_PATH, USERINFO_PATH, VERIFY_PATH
from .control_client import ControlClient, NoEmulator
from .state_file import read_state, write_state
from .usage import UsageError, add_emulator_options, check_urls, complain

DEFAULT_DOMAIN: Final = "http://localhost:5000"
Command = Callable[[ControlClient, argparse.Namespace], None]


def _token(emulator: ControlClient, options: argparse.Namespace) -> None:
    """Print an access token of a new session, without a browser."""
    print(_tokens(emulator, options)["access_token"])


def _curl(emulator: ControlClient, options: argparse.Namespace) -> None:
    """Print the documented calls, filled in and ready to paste."""
    client = emulator.ask("GET", "/clients")["clients"][0]
    basic = f"{client['id']}:{client['secret']}"
    token = _tokens(emulator, options)["access_token"]
    text = ["-H", "Content-Type: text/plain", "--data", token]
    code = ["code=THE_CODE", f"redirect_uri={options.domain}/api/auth/callback", "code_verifier=THE_VERIFIER"]
    calls = {
        "a code for tokens": [
            VERIFY_PATH,
            *(part for field in code for part in ("--data-urlencode", field)),
        ],
        "the user behind a token": [
            f"{USERINFO_PATH}?domain={options.domain}",
            *("-H", f"auth-ip: {options.ip}", "-A", options.user_agent, *text),
        ],
        "the end of the session": [LOGOUT_PATH, *text],
    }
    for what, (path, *rest) in calls.items():
        print(f"# {what}\n{shlex.join(['curl', '-u', basic, emulator.url + path, *rest])}")


def _export(emulator: ControlClient, options: argparse.Namespace) -> None:
    """Write everything that an emulator remembers to a file, secrets included."""
    write_state(options.file, emulator.ask("GET", "/export"))


def _import(emulator: ControlClient, options: argparse.Namespace) -> None:
    """Replace everything that an emulator remembers by what an export has written."""
    emulator.ask("POST", "/import", read_state(options.file))


COMMANDS: Final[dict[str, Command]] = {"token": _token, "curl": _curl, "export": _export, "import": _import}


def _tokens(emulator: ControlClient, options: argparse.Namespace) -> dict[str, str]:
    body = {name: getattr(options, name) for name in ("user", "domain", "ip", "user_agent")}
    tokens: dict[str, str] = emulator.ask("POST", "/token", body)
    return tokens


def parser(name: str) -> argparse.ArgumentParser:
    """Return the options of one of the commands."""
    options = argparse.ArgumentParser(
        prog=f"python -m flask_centralauth.emulator {name}", description=COMMANDS[name].__doc__
    )
    add_emulator_options(options)
    add = options.add_argument
    if name in ("export", "import"):
        add("file", type=Path, metavar="FILE", help="JSON file")
        return options
    add("--user", metavar="EMAIL", default="alice@example.com", help="whose (default %(default)s)")
    add(
        "--domain",
        metavar="ORIGIN",
        default=DEFAULT_DOMAIN,
        help="the application's origin (default %(default)s)",
    )
    add("--ip", default="127.0.0.1", help="address of their browser (default %(default)s)")
    add("--user-agent", default="curl", help="its name (default %(default)s)")
    return options


def run(name: str, argv: Sequence[str]) -> int:
    """Run one of the commands; return the exit status."""
    options = parser(name).parse_args(argv)
    try:
        check_urls(options.emulator, getattr(options, "domain", options.emulator))
        COMMANDS[name](ControlClient(options.emulator, token=options.control_token), options)
    except (UsageError, NoEmulator) as problem:
        return complain(name, problem)
    return 0
