"""What is in the wheel and the sdist. `DISTRIBUTION=wheel ./tests/run` runs all tests against them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from email.parser import Parser
from pathlib import Path
from typing import Final, NamedTuple
from zipfile import ZipFile

import pytest

import flask_centralauth

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = Path(flask_centralauth.__file__).parent
TREES: Final = ("tests", "docs", "example_app", "benchmarks")

#: What work in a checkout leaves behind.
LITTER: Final = (
    "flask_centralauth/__pycache__/errors.cpython-310.pyc",
    "docs/_build/html/index.html",
    "tests/artifacts/failed-login.png",
    "tests/__pycache__/conftest.cpython-310.pyc",
    "instance/centralauth-sessions.sqlite",
    "example_app/instance/centralauth-sessions.sqlite",
    "build/lib/flask_centralauth/gone.py",
    ".env",
    "example_app/.env",
    ".venv/lib/flask_centralauth/gone.py",
)


class Distributions(NamedTuple):
    sdist: dict[str, bytes]
    wheel: dict[str, bytes]  # built from the sdist
    wheel_of_checkout: dict[str, bytes]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Built from a copy of the checkout that somebody worked in."""
    folder = tmp_path_factory.mktemp("distributions")
    checkout = folder / "checkout"
    for path in ROOT.iterdir():
        if path.suffix in {".md", ".toml", ".in", ".py", ".yaml"} or path.name == "LICENSE":
            checkout.mkdir(exist_ok=True)
            shutil.copy(path, checkout)
    left_out = shutil.ignore_patterns("_build", "artifacts", "__pycache__", "instance")
    for name in TREES:
        shutil.copytree(ROOT / name, checkout / name, ignore=left_out)
    shutil.copytree(PACKAGE, checkout / PACKAGE.name, ignore=left_out)
    _build(checkout, folder / "direct", "--wheel")
    for name in LITTER:
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"litter")
    _build(checkout, folder / "built")
    (sdist,) = (folder / "built").glob("*.tar.gz")
    (wheel,) = (folder / "built").glob("*.whl")
    (direct,) = (folder / "direct").glob("*.whl")
    return Distributions(_sdist_content(sdist), _wheel_content(wheel), _wheel_content(direct))


def _build(source: Path, target: Path, *options: str) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), *options]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _sdist_content(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {file.name.partition("/")[2]: archive.extractfile(file).read() for file in files}  # type: ignore[union-attr]


def _wheel_content(file: Path) -> dict[str, bytes]:
    with ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _sources() -> set[str]:
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    return {path.relative_to(PACKAGE.parent).as_posix() for path in files}


def test_the_wheel_is_the_package_and_nothing_else(built: Distributions) -> None:
    metadata = {name for name in built.wheel if name.partition("/")[0].endswith(".dist-info")}
    assert built.wheel.keys() - metadata == _sources()


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "templates/centralauth/base.html",
        "templates/centralauth/errors/session.html",
        "emulator/templates/dashboard/users.html",
        "translations/nl/LC_MESSAGES/flask_centralauth.po",
        "translations/nl/LC_MESSAGES/flask_centralauth.mo",
        "diagnosis/__init__.py",
    ],
)
def test_files_that_are_no_modules_of_the_top_are_in_both(built: Distributions, name: str) -> None:
    assert f"flask_centralauth/{name}" in built.wheel
    assert built.wheel[f"flask_centralauth/{name}"] == built.sdist[f"flask_centralauth/{name}"]


def test_the_sdist_makes_the_same_wheel_as_the_checkout(built: Distributions) -> None:
    assert built.wheel == built.wheel_of_checkout


def test_the_sdist_has_what_it_takes_to_test_and_document(built: Distributions) -> None:
    tracked = {
        path.relative_to(ROOT).as_posix()
        for folder in TREES
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not {"__pycache__", "artifacts", "_build", "instance"} & set(path.parts)
    }
    alone = {
        ".pre-commit-config.yaml",
        "CHANGES.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "pyproject.toml",
    }
    assert tracked | alone <= built.sdist.keys()


def test_what_work_leaves_behind_is_in_neither(built: Distributions) -> None:
    for content in built:
        assert b"litter" not in content.values()
        assert not [name for name in content if "gone.py" in name or "__pycache__" in name]


def test_the_metadata_is_complete(built: Distributions) -> None:
    (name,) = (name for name in built.wheel if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(built.wheel[name].decode())
    assert metadata["Name"] == "flask_centralauth"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["Description-Content-Type"] == "text/markdown"
    extras = {"redis", "memcached", "sqlalchemy", "babel", "opentelemetry", "testing", "docs"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras
    assert built.wheel[name.replace("METADATA", "licenses/LICENSE")] == (ROOT / "LICENSE").read_bytes()
