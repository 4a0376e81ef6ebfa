"""The container recipe and the compose file: read, and their words tried, without an engine."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest
from cachelib import SimpleCache

import flask_centralauth
from example_app import create_app
from flask_centralauth.emulator import InProcessAdapter
from flask_centralauth.emulator.cli import emulator_from, parser
from flask_centralauth.state import state_of

from .documented_code import ROOT

FOLDER: Final = ROOT / "example_app"
INSTRUCTIONS: Final = "FROM WORKDIR COPY RUN USER EXPOSE HEALTHCHECK CMD".split()


def compose(text: str | None = None) -> dict[str, Any]:
    """Read the YAML that the file keeps to: mappings, lists of texts, one scalar per line, two spaces."""
    lines = []
    for number, line in enumerate((text or (FOLDER / "compose.yaml").read_text()).splitlines(), 1):
        content = line.strip()
        if content and not content.startswith("#"):
            indent = len(line) - len(line.lstrip(" "))
            assert indent % 2 == 0, f"line {number}"
            assert "\t" not in line, f"line {number}"
            lines.append((indent, content, number))
    value, rest = _block(lines, 0)
    assert not rest, f"line {rest[0][2]} is indented oddly"
    assert isinstance(value, dict)
    return value


Lines = list[tuple[int, str, int]]


def _block(lines: Lines, indent: int) -> tuple[Any, Lines]:
    items: list[str] = []
    members: dict[str, Any] = {}
    while lines and lines[0][0] == indent:
        (_, content, number), lines = lines[0], lines[1:]
        if content.startswith("- "):
            items.append(_scalar(content[2:], number))
            continue
        found = re.fullmatch(r"(\w+):(?: (.+))?", content)
        assert found, f"line {number} is neither a member nor an item"
        assert found[1] not in members, f"line {number}: {found[1]} is there twice"
        if found[2] is None:
            members[found[1]], lines = _block(lines, indent + 2)
        else:
            members[found[1]] = _scalar(found[2], number)
    assert bool(items) != bool(members), "a block is a list or a mapping"
    return items or members, lines


def _scalar(text: str, number: int) -> Any:
    if text.startswith('"'):
        return json.loads(text)
    assert not re.search(r": |^[\[{&*!|>'%@`]| #", text), f"line {number}: quote this"
    return {"true": True, "false": False}.get(text, text)


def test_the_reader_refuses_what_is_no_such_yaml() -> None:
    for text in ("a:\n   b: c", "a: b\na: c", "a: b: c", "- a\nb: c", "a", "a: [b]", "a:\n  - b\n    - c"):
        with pytest.raises(AssertionError):
            compose(text)


def recipe() -> list[tuple[str, str]]:
    """The instructions of the recipe with their arguments."""
    text = (FOLDER / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def test_the_recipe_is_made_of_instructions_and_files_that_exist() -> None:
    assert {name for name, _ in recipe()} == set(INSTRUCTIONS)
    assert recipe()[0][0] == "FROM"
    for name, arguments in recipe():
        if name == "COPY":
            for source in arguments.split()[:-1]:
                # The package may be an installed wheel.
                assert source == flask_centralauth.__name__ or (ROOT / source).exists(), source


def test_nobody_is_root_when_something_runs() -> None:
    names = [name for name, _ in recipe()]
    assert dict(recipe())["USER"] not in ("root", "0")
    assert names.index("USER") < names.index("CMD")


def test_the_recipes_commands_are_lists_and_its_emulator_starts(capsys: pytest.CaptureFixture[str]) -> None:
    health = dict(recipe())["HEALTHCHECK"].partition("CMD ")[2]
    compile(json.loads(health)[2], "HEALTHCHECK", "exec")
    program, option, module, *options = json.loads(dict(recipe())["CMD"])
    assert (program, option, module) == ("python", "-m", "flask_centralauth.emulator")
    emulator_from(parser().parse_args(options))
    assert "Warning" in capsys.readouterr().err


def test_the_services_are_there_and_share_one_network() -> None:
    services = compose()["services"]
    assert set(services) == {"centralauth", "redis", "app"}
    for name in ("redis", "app"):
        assert services[name]["network_mode"] == "service:centralauth"
    assert set(services["app"]["depends_on"]) == {"centralauth", "redis"}
    assert (FOLDER / services["centralauth"]["build"]["context"]).resolve() == ROOT
    assert (ROOT / services["centralauth"]["build"]["dockerfile"]).is_file()
    assert services["app"]["image"] == services["centralauth"]["image"]


def test_only_this_machine_reaches_them() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_the_services_are_told_makes_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    services = compose()["services"]
    emulator = emulator_from(parser().parse_args(services["centralauth"]["command"][3:]))
    for name, value in services["app"]["environment"].items():
        monkeypatch.setenv(name, value)
    app = create_app({"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": SimpleCache(), "DEBUG": True})
    assert emulator.url == app.config["CENTRALAUTH_BASE_URL"]
    session = state_of(app).client.transport.session()
    session.mount(emulator.url, InProcessAdapter(emulator.app))
    client = app.test_client()
    origin = "http://localhost:5000"
    start = client.get("/api/auth/login", base_url=origin)
    assert (start.location or "").startswith("http://localhost:9797/login?")
    client.get(emulator.authorize(start.location or ""))
    user = client.get("/api/auth/user", base_url=origin).json
    assert user is not None
    assert user["email"] == "alice@example.com"
