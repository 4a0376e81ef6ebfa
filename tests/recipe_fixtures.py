"""Loading recipes: ``pytest_plugins = ("tests.recipe_fixtures",)`` in a test module."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from flask_centralauth.emulator import Emulator

RECIPES: Final = Path(__file__).parents[1] / "docs" / "recipes"
_numbers = itertools.count()

Recipe = Callable[[str], ModuleType]


@pytest.fixture
def recipe(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """`recipe(name)` imports one afresh, with the settings of the emulator in the environment."""

    def load(name: str) -> ModuleType:
        secret_key = "a secret key of the tests, long enough"
        for key, value in {**emulator.config, "SECRET_KEY": secret_key, "TESTING": True}.items():
            monkeypatch.setenv(f"FLASK_{key}", json.dumps(value))
        spec = util.spec_from_file_location(f"recipe{next(_numbers)}_{name}", RECIPES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    monkeypatch.setattr("flask.Flask.auto_find_instance_path", lambda app: str(tmp_path / app.name))
    return load
