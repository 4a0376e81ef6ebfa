"""The command line: ``python -m flask_centralauth.emulator``."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import signal
import ssl
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .certificates import context_of
from .check_command import check
from .clock import read_time
from .commands import COMMANDS, run
from .emulator import Emulator
from .entities import checked_email
from .faults import fault_from
from .origins import is_origin, origin_of
from .scenarios import SCENARIOS
from .seed_file import client_of, merged, read_seed_file
from .service import DEFAULT_USERS, SeedUser
from .state_file import read_state, write_state
from .usage import DEFAULT_PORT, UsageError, complain

NAME: Final = "emulator"


def parser() -> argparse.ArgumentParser:
    """Return the options; ``flask centralauth emulator`` shares them."""
    options = argparse.ArgumentParser(
        prog="python -m flask_centralauth.emulator",
        description="Run a local CentralAuth for development. It keeps everything in memory.",
        epilog="Or a command, with a --help of its own: check (an application), token, curl, export, import.",
    )
    add = options.add_argument
    add(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="port to answer on (default %(default)s; 0: a free one)",
    )
    add("--host", default="127.0.0.1", help="address to answer on (default %(default)s)")
    add("--allow-remote", action="store_true", help="allow a --host that other machines can reach")
    add("--public-url", metavar="URL", help="where browsers reach it, when that is not http://HOST:PORT")
    add("--internal-url", metavar="URL", help="where applications reach it, when that is another address")
    add("--user", action="append", default=[], metavar="EMAIL", help="a user to offer; repeat for more")
    add("--config", type=Path, metavar="FILE", help="JSON or TOML with client, whitelist, settings, users")
    add("--state", type=Path, metavar="FILE", help="go on from this file, and write it at the end")
    add("--users", type=Path, metavar="FILE", help="JSON file with users, or with settings and users")
    add("--autologin", metavar="EMAIL", help="answer every login with this user, without a page")
    add("--client", metavar="ID:SECRET", help="client id and secret (default: a fresh secret)")
    add(
        "--whitelist",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="origin that may log in; repeat for more",
    )
    add("--tls", action="store_true", help="answer on https, with a certificate made for this run")
    add("--cert", type=Path, metavar="FILE", help="answer on https with this certificate; needs --key")
    add("--key", type=Path, metavar="FILE", help="the certificate's key")
    add("--mode", choices=["strict", "compat"], help="compat also accepts what the official clients send")
    add("--login-ip", metavar="IP", help="record every login with this address")
    add("--no-hijack-protection", action="store_true", help="do not compare address and browser")
    add("--scenario", choices=SCENARIOS, help="begin with a bundle of faults")
    add("--fault", action="append", default=[], metavar="JSON", help="begin with a fault; repeat for more")
    add("--freeze-time", metavar="TIME", help="let the clock stand still at this time (ISO 8601)")
    add("--no-control", action="store_true", help="without control API and dashboard")
    add("--control-token", metavar="TOKEN", help="what callers of the control API must present")
    add("--show-secrets", action="store_true", help="show tokens and codes in full on the dashboard")
    add("--exit-on-lint", action="store_true", help="exit status 1 when the client did something wrong")
    add("--seed", type=int, help="make identifiers and dice the same in every run")
    add("--log", action="store_true", help="write a line per request")
    add("--quiet", action="store_true", help="say nothing at start")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the emulator until it is interrupted, or one of the commands; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments[0] if arguments else ""
    if command == "check":
        return check(arguments[1:])
    if command in COMMANDS:
        return run(command, arguments[1:])
    return _serve(parser().parse_args(arguments))


def _serve(options: argparse.Namespace) -> int:
    try:
        emulator = emulator_from(options)
        emulator.start()
        said = "" if options.quiet else greeting(emulator)
    except UsageError as problem:
        return complain(NAME, problem)
    except OSError as problem:
        return complain(
            NAME, f"cannot answer on {options.host}:{options.port}: {problem.strerror}; try --port 0"
        )
    # What stops a container is an end as good as Ctrl+C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Whoever reads this may stop it at once.
        if said:
            print(said, flush=True)
        if options.port == 0:
            print(f"PORT={emulator.port}", flush=True)
        emulator.wait()
    except KeyboardInterrupt:
        emulator.stop()
    if options.state:
        try:
            write_state(options.state, emulator.export())
        except UsageError as problem:
            return complain(NAME, problem)
    return _graded(emulator) if options.exit_on_lint else 0


def emulator_from(options: argparse.Namespace) -> Emulator:
    """Return the emulator that the options describe, not started.

    :raises UsageError: with one sentence that says what is wrong.
    """
    refuse_production(os.environ)
    _refuse_remote(options.host, options.allow_remote)
    _check_addresses(options)
    seed_file: dict[str, Any] = {}
    for path in filter(None, (options.config, options.users)):
        seed_file = merged(seed_file, read_seed_file(path))
    client_id, secret = client_of(options.client, seed_file)
    settings = _settings(options, seed_file)
    whitelist = [*seed_file.get("whitelist", ()), *options.whitelist]
    _check_whitelist(whitelist)
    users: list[SeedUser] = [*seed_file.get("users", ()), *options.user]
    try:
        emulator = Emulator(
            whitelist=whitelist,
            users=users or DEFAULT_USERS,
            client_id=client_id,
            client_secret=secret,
            host=options.host,
            port=options.port,
            seed=options.seed,
            public_url=options.public_url,
            internal_url=options.internal_url,
            control=not options.no_control,
            control_token=options.control_token,
            show_secrets=options.show_secrets,
            log=options.log,
            settings=settings,
            tls=_tls(options),
        )
        if options.state and options.state.exists():
            emulator.load(read_state(options.state))
        if options.autologin:
            emulator.service.start_with_autologin(checked_email(options.autologin))
        _begin_badly(emulator, options)
    except (ValueError, TypeError) as problem:
        raise UsageError(str(problem)) from problem
    return emulator


def _tls(options: argparse.Namespace) -> str | ssl.SSLContext | None:
    if bool(options.cert) != bool(options.key):
        raise UsageError("--cert and --key belong together")
    if options.cert:
        return context_of(options.cert, options.key)
    return "good" if options.tls else None


def _settings(options: argparse.Namespace, seed_file: Mapping[str, Any]) -> dict[str, object]:
    settings: dict[str, object] = dict(seed_file.get("settings", {}))
    if options.mode:
        settings["mode"] = options.mode
    if options.login_ip:
        settings["login_ip"] = options.login_ip
    if options.no_hijack_protection:
        settings["hijack_protection"] = False
    return settings


def _begin_badly(emulator: Emulator, options: argparse.Namespace) -> None:
    for text in options.fault:
        try:
            sent = json.loads(text)
        except (ValueError, RecursionError) as problem:
            raise UsageError(f"--fault {text[:60]!r} is not JSON: {problem}") from problem
        if not isinstance(sent, dict) or "endpoint" not in sent:
            raise UsageError(f"--fault {text[:60]!r} is not an object with an endpoint")
        emulator.service.faults.add(fault_from(sent))
    if options.scenario:
        emulator.scenario(options.scenario)
    if options.freeze_time:
        emulator.clock.freeze(read_time(options.freeze_time))


def _graded(emulator: Emulator) -> int:
    findings = emulator.lint()
    for finding in findings:
        place = f" (request {finding.request})" if finding.request else ""
        print(f"{finding.level}: {finding.id} {finding.text}{place}", file=sys.stderr)
    return 1 if any(finding.level == "error" for finding in findings) else 0


def greeting(emulator: Emulator) -> str:
    """Return what a developer needs to begin."""
    lines = [
        f"CentralAuth emulator on {emulator.url}  (Ctrl+C stops it)",
        *([f"Dashboard: {emulator.url}/_emulator/ui"] if "control" in emulator.app.blueprints else []),
        *([f"Authority to trust: {_kept(emulator.ca_certificate)}"] if emulator.ca_certificate else []),
        "",
        "Settings for your application:",
        *(f"  {name}={value}" for name, value in emulator.config.items()),
    ]
    if not emulator.settings.whitelist:
        lines += ["", "Every origin may log in; --whitelist ORIGIN restricts that."]
    return "\n".join(lines)


def _kept(certificate: str) -> Path:
    """Write the authority's certificate where people find it, and return where.

    :raises UsageError: when it cannot be written.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flask_centralauth"
    path = folder / "emulator-authority.pem"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(certificate)
    except OSError as problem:
        raise UsageError(f"cannot write {path}: {problem.strerror}") from problem
    return path


def refuse_production(environment: Mapping[str, str]) -> None:
    """Refuse to run where people really log in.

    :raises UsageError: when the environment says production.
    """
    for name in ("FLASK_ENV", "CENTRALAUTH_ENV"):
        if environment.get(name, "").lower() == "production":
            raise UsageError(
                f"{name} is 'production': the emulator lets anybody log in and does not start there"
            )


def _check_whitelist(whitelist: Sequence[object]) -> None:
    for entry in whitelist:
        if not isinstance(entry, str) or not is_origin(entry.replace("://*.", "://", 1).rstrip("/")):
            raise UsageError(f"{entry!r} is not an origin; write it as http://localhost:5000")


def _check_addresses(options: argparse.Namespace) -> None:
    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port {options.port} is no port; take 0 to 65535")
    for name, url in (("--public-url", options.public_url), ("--internal-url", options.internal_url)):
        if url is not None and origin_of(url) is None:
            raise UsageError(f"{name} {url!r} is not an http(s) URL")


def _refuse_remote(host: str, allowed: bool) -> None:
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if local:
        return
    if not allowed:
        raise UsageError(f"{host} can be reached from other machines; add --allow-remote if you mean it")
    print(f"Warning: everybody who reaches {host} can log in as anybody here.", file=sys.stderr)
