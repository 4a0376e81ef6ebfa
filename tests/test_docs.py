"""The documentation is true: its code runs, its tables are the code's, its links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Final
from urllib.parse import urlsplit

import pytest
from flask import Flask

from flask_centralauth.diagnosis import SECTIONS
from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.scenarios import SCENARIOS
from tests.browser_client import Browser
from tests.conftest import RunServer
from tests.documented_code import ROOT, Program, pages, programs
from tests.services.programs import NOT_RUN

DOCS: Final = ROOT / "docs"
# Those that need a server are run in tests/services.
PROGRAMS: Final = [program for page in pages() for program in programs(page) if not program.servers]
Terminal = Callable[[str, str], str]
TESTED: Final = [program for program in PROGRAMS if program.tests]


@pytest.fixture
def settings(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader has set in the environment when a page begins."""
    # from_prefixed_env() reads JSON: an all-digit secret would arrive as a number.
    for name, value in {**emulator.config, "SECRET_KEY": "a secret key of the tests, long enough"}.items():
        monkeypatch.setenv(f"FLASK_{name}", json.dumps(value))
    # The page on several organizations has a second one.
    for name, value in emulator.config.items():
        monkeypatch.setenv(f"FLASK_STAFF_{name}", json.dumps(value))


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_of_the_documentation_logs_in_and_serves_its_pages(
    program: Program, emulator: Emulator, live_server: RunServer, tmp_path: Path
) -> None:
    app = application(program, tmp_path)
    server = live_server(app)
    origin = known_origin(app) or server.url
    browser = Browser(emulator, routes={} if origin == server.url else {origin: server.url})

    browser.get(f"{origin}{prefix(app)}/login")
    assert browser.fetch(f"{origin}{prefix(app)}/user").json()["email"] == "alice@example.com"
    for path in pages_of(app):
        answer = browser.get(origin + path)
        assert answer.status < 500, f"{path}: {answer.text}"


def application(program: Program, folder: Path) -> Flask:
    module = load(program, folder)
    factory = getattr(module, "create_app", None)
    app = factory() if factory else module.app
    assert isinstance(app, Flask)
    return app


def load(program: Program, folder: Path) -> ModuleType:
    file = folder / "app.py"
    file.write_text(program.source)
    spec = util.spec_from_file_location("app", file)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules["app"] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["app"]
    return module


def prefix(app: Flask) -> str:
    found: str = app.extensions["centralauth"].settings.url_prefix
    return found


def known_origin(app: Flask) -> str | None:
    """Where people reach the application, when it says so itself."""
    callback_url: str | None = app.extensions["centralauth"].settings.callback_url
    if callback_url is None:
        return None
    parts = urlsplit(callback_url)
    return f"{parts.scheme}://{parts.netloc}"


def pages_of(app: Flask) -> list[str]:
    """The addresses without parts to fill in, those of the extension left out."""
    return [
        rule.rule
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
        and not rule.arguments
        and not rule.endpoint.startswith("centralauth.")
    ]


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("program", TESTED, ids=lambda program: program.name)
def test_the_tests_of_the_documentation_pass(program: Program, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(program.source)
    for number, test in enumerate(program.tests):
        (tmp_path / f"test_documented_{number}.py").write_text(test)
    plugin = ["-p", "no:flask_centralauth", "-p", "flask_centralauth.pytest_plugin", "-p", "no:cacheprovider"]
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *plugin],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout


@pytest.mark.usefixtures("settings")
def test_the_organizations_of_one_application_keep_their_logins_apart(
    emulator: Emulator, live_server: RunServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = emulator.service.add_organization("office-organization", "0123456789abcdef0123456789abcdef")
    emulator.add_user(email="staff@example.com", organization_id=office.id)
    for name, value in {"CLIENT_ID": office.id, "CLIENT_SECRET": office.secret}.items():
        monkeypatch.setenv(f"FLASK_STAFF_CENTRALAUTH_{name}", json.dumps(value))
    monkeypatch.setattr(Flask, "auto_find_instance_path", lambda app: str(tmp_path))
    (program,) = programs(DOCS / "organizations.md")
    url = live_server(load(program, tmp_path).app).url

    browser = Browser(emulator)
    assert browser.get(f"{url}/orders").text == "Orders of alice@example.com"
    assert browser.fetch("/office").status == 401
    browser.user = "staff@example.com"
    assert browser.get(f"{url}/office").text == "Hello staff@example.com"
    assert browser.fetch("/").json() == {"customer": "alice@example.com", "staff": "staff@example.com"}


def test_the_quickstart_pasted_into_an_empty_folder_logs_in(terminal: Terminal, tmp_path: Path) -> None:
    text = (DOCS / "quickstart.md").read_text(encoding="utf-8")
    (program,) = programs(DOCS / "quickstart.md")
    emulator_command, start = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1:3]
    (tmp_path / "app.py").write_text(program.source)

    # Only the ports differ from what is on the page: others may be using them.
    emulator_url = terminal(f"{emulator_command.rstrip()} --port 0", r"emulator on (http://\S+)")
    moved = start.replace("http://127.0.0.1:9797", emulator_url)
    assert moved != start
    address = terminal(f"{moved.rstrip()} --port 0", r"Running on (http://\S+)")

    browser = Browser()
    login_page = browser.get(f"{address}/profile")
    assert login_page.url.startswith(emulator_url)
    profile = browser.submit(login_page.forms[0], {"email": "alice@example.com"})
    assert (profile.path, profile.status) == ("/profile", 200)
    assert "Hello alice@example.com" in profile.text
    assert browser.submit(profile.forms[0]).path == "/"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """`terminal(command, pattern)` leaves a shell command running and returns what it says it is."""
    programs_here = tmp_path / "bin"
    programs_here.mkdir()
    for name, call in {"python": "", "flask": "-m flask "}.items():
        program = programs_here / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {call}"$@"\n')
        program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs_here}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    running: list[subprocess.Popen[str]] = []

    def run(command: str, pattern: str) -> str:
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError("".join(said))

    yield run
    for process in running:
        # The whole group: the reloader of flask run has a child.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_every_python_block_is_found() -> None:
    """A fence that is written otherwise would not be executed, and nobody would notice."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        fences = re.findall(
            r"^.*(?:```|~~~|::: ?)\{?(?:code-block\} ?)?(?:python|py|pycon)\b.*$", text, re.MULTILINE
        )
        assert fences == ["```python"] * len(fences), page.name


@pytest.mark.parametrize("page", ["settings.md", "emulator.md"])
def test_the_tables_are_those_of_the_code(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # what the generator changes is put back
    generator = load_generator("generate_tables")
    assert (DOCS / page).read_text(encoding="utf-8") == generator.text(page)


def test_every_scenario_of_the_emulator_is_described() -> None:
    text = (DOCS / "emulator.md").read_text(encoding="utf-8")
    table = text.partition("| scenario |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(SCENARIOS)


def load_generator(name: str) -> ModuleType:
    spec = util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_check_has_its_section() -> None:
    headings = re.findall(r"^### (.+)$", (DOCS / "check.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [name for checks in SECTIONS.values() for name in checks]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target}"


def test_every_page_is_reached_from_the_index() -> None:
    """Where the sources are browsed, the lists that Sphinx makes the navigation of are no links."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    shown, *navigation = re.split(r"^```\{toctree\}\n(?::.*\n)*", text, flags=re.MULTILINE)
    names = [name for block in navigation for name in block.partition("```")[0].split()]
    written = {page.relative_to(DOCS).with_suffix("").as_posix() for page in pages() if page.parent != ROOT}
    assert sorted(names) == sorted(written - {"index"})
    assert {f"{name}.md" for name in names} == set(re.findall(r"\]\(([\w/-]+\.md)\)", shown))


def anchors(page: Path) -> set[str]:
    """The anchors that renderers make from headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    if util.find_spec("sphinx") is None or util.find_spec("furo") is None:
        pytest.skip(f"{NOT_RUN}Sphinx is not installed (pip install '.[docs]', or run docs/build)")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(DOCS),
        str(tmp_path),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
