"""The rules of the house, read from the source: what may import what, how long a module is."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

import flask_centralauth

PACKAGE: Final = Path(flask_centralauth.__file__).parent
ROOT: Final = Path(__file__).parent.parent

#: A module imports nothing of a layer further down this list, directly or through others.
LAYERS: Final = (
    {"errors", "user", "redirects", "signals", "protocol", "translations"},
    {"config"},
    {"client", "login_flow", "login_store", "user_cache"},
    {"identity", "guards", "handlers", "views"},
    {"extension"},
    {"testing", "pytest_plugin"},
)

#: Lines of a module, and of one function without its documentation. Longer ones state a reason.
MODULE_LINES: Final = 300
FUNCTION_LINES: Final = 40
LONG_MODULES: Final = {
    "error_codes": "a table: one row per error code",
}
LONG_FUNCTIONS: Final = {
    "emulator.emulator.__init__": "the constructor's options are its documentation",
    "emulator.cli.parser": "one call per option",
    "emulator.login_request.check_request": "one check after the other, in the order the service documents",
}

#: Documented by Werkzeug, in spite of its name.
DOCUMENTED_PRIVATE: Final = {"_get_current_object"}


@cache
def _modules() -> dict[str, ast.Module]:
    """Every module of the package by its name below it; a package is named like its folder."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


def _path(module: str) -> Path:
    folder = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    file = folder.with_suffix(".py")
    return file if module and file.exists() else folder / "__init__.py"


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _executed(node: ast.AST, *, in_functions: bool = True) -> Iterator[ast.AST]:
    """What can run: all but what only type checkers see; optionally only what importing runs."""
    for child in ast.iter_child_nodes(node):
        if _is_type_checking(child):
            continue
        if not in_functions and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield child
        yield from _executed(child, in_functions=in_functions)


@cache
def _own_imports(module: str) -> set[str]:
    """The modules of this package that a module imports, at once or later."""
    package = module if _path(module).name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in _executed(_modules()[module]):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if package else []
            target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                below = f"{target}.{alias.name}".strip(".")
                found.add(below if below in _modules() else target)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            assert not [name for name in _foreign(node) if name == "flask_centralauth"], (
                f"{module}: relative, please"
            )
    return found - {module}


def _foreign(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [(node.module or "").partition(".")[0]] if not node.level else []


def _third_parties(module: str, *, in_functions: bool = True) -> set[str]:
    return {
        name
        for node in _executed(_modules()[module], in_functions=in_functions)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in _foreign(node)
    } - set(sys.stdlib_module_names)


@cache
def _reached(module: str) -> frozenset[str]:
    """Every module of the package that a module needs, through others too."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for imported in _own_imports(waiting.pop()) - seen:
            seen.add(imported)
            waiting.append(imported)
    return frozenset(seen)


def _of_the_extension() -> list[str]:
    return [name for name in _modules() if name and not name.startswith("emulator")]


def test_the_source_was_read() -> None:
    assert len(_modules()) > 100
    assert {"emulator.service", "emulator.cli", "diagnosis.store", "client"} <= set(_modules())
    assert _own_imports("proxies") == {"identity", "state", "user"}
    assert "state" in _reached("guards")
    assert "flask" in _third_parties("views")
    assert set.union(*LAYERS) <= set(_modules())


@pytest.mark.parametrize("module", sorted(set.union(*LAYERS)))
def test_imports_point_one_way(module: str) -> None:
    level = next(number for number, layer in enumerate(LAYERS) if module in layer)
    above = set().union(*LAYERS[level + 1 :])
    assert _reached(module) & above == set()


def test_no_module_needs_itself() -> None:
    # Not yet the emulator: its control and what is registered on it import each other.
    assert [name for name in _of_the_extension() if name in _reached(name)] == []


def test_the_emulator_stands_on_its_own() -> None:
    """It shares spellings and nothing else: a mistake of the extension must not hide in it."""
    allowed = {"errors", "error_codes", "protocol", "translations"}
    for name in _modules():
        if name.startswith("emulator"):
            outside = {imported for imported in _own_imports(name) if not imported.startswith("emulator")}
            assert outside <= allowed, name
    users = {
        name for name in _of_the_extension() if any(m.startswith("emulator") for m in _own_imports(name))
    }
    assert users <= {"cli", "testing", "pytest_plugin"}


def test_the_client_knows_no_flask() -> None:
    for name in {"client", *_reached("client")}:
        assert "flask" not in _third_parties(name, in_functions=False), name
    assert "flask" not in _third_parties("client")


def test_one_place_talks_http() -> None:
    transports = {"requests", "urllib3", "httpx", "aiohttp"}
    users = {name for name in _of_the_extension() if _third_parties(name) & transports}
    assert users == {"client", "deadline"}
    for name in _of_the_extension():
        for node in _executed(_modules()[name]):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {
                    "http.client",
                    "urllib.request",
                    "socket",
                } or (name == "deadline"), name


def test_one_place_reads_settings() -> None:
    """`app.config` and the environment belong to `config`; all others get `Settings`."""
    readers = set()
    for name in _of_the_extension():
        for node in _executed(_modules()[name]):
            if isinstance(node, ast.Attribute) and node.attr == "config" and _is_app(node.value):
                readers.add(name)
            if (
                isinstance(node, ast.Attribute)
                and node.attr in {"environ", "getenv"}
                and _is_name(node.value, "os")
            ):
                readers.add(name)
    assert readers == {"config"}


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_app(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id in {"app", "current_app"}) or (
        isinstance(node, ast.Attribute) and node.attr in {"app", "application"}
    )


def test_nothing_private_of_others_is_used() -> None:
    """Names with an underscore may be gone in the next release of whoever owns them."""
    used = []
    for name, tree in _modules().items():
        imported = set()
        for node in _executed(tree):
            if isinstance(node, ast.ImportFrom) and not node.level:
                used += [f"{name}: {alias.name}" for alias in node.names if alias.name.startswith("_")]
                used += [f"{name}: {node.module}"] if "._" in f".{node.module}".replace(".__", ".") else []
                imported |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.Import):
                imported |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        for node in _executed(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in imported
            ):
                private = node.attr.startswith("_") and not node.attr.startswith("__")
                if private and node.attr not in DOCUMENTED_PRIVATE:
                    used.append(f"{name}: {node.value.id}.{node.attr}")
    assert [entry for entry in used if not entry.endswith(": __future__")] == []


def test_modules_are_read_in_one_sitting() -> None:
    lines = {name: len(_path(name).read_text("utf-8").splitlines()) for name in _modules()}
    long = {name: count for name, count in lines.items() if count > MODULE_LINES}
    assert long.keys() == LONG_MODULES.keys(), long


def test_what_coverage_leaves_out_is_explained() -> None:
    lines = [line for name in _modules() for line in _path(name).read_text("utf-8").splitlines()]
    left_out = [line for line in lines if "# pragma: no " in line]
    assert [line for line in left_out if not re.search(r"# pragma: no (cover|branch) - \w+ \w+", line)] == []


def test_functions_are_short() -> None:
    long = {
        f"{name}.{node.name}"
        for name, tree in _modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 - _documentation(node) > FUNCTION_LINES
    }
    assert long == LONG_FUNCTIONS.keys()


def _documentation(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    return (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0


@pytest.mark.parametrize("name", ["utils", "util", "helpers", "helper", "common", "misc", "manager", "base"])
def test_modules_are_named_after_a_subject(name: str) -> None:
    assert not [module for module in _modules() if name in module.replace(".", "_").split("_")]


def _loaded_by(statement: str) -> set[str]:
    """Return the modules a statement loads into a process that has Flask."""
    code = f"import sys, flask; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_importing_the_package_alone_loads_nothing() -> None:
    assert _loaded_by("import flask_centralauth; dir(flask_centralauth)") == {"flask_centralauth"}


def test_importing_its_names_warns_of_nothing_and_loads_no_other_library() -> None:
    heavy = {"authlib", "requests", "redis", "sqlalchemy", "joserfc", "pymemcache", "flask_babel", "pytest"}
    loaded = _loaded_by("from flask_centralauth import *")
    assert "flask_centralauth.extension" in loaded
    assert heavy & {name.partition(".")[0] for name in loaded} == set()


def test_the_package_has_the_names_it_lists_and_no_other() -> None:
    for name in flask_centralauth.__all__:
        assert (
            getattr(flask_centralauth, name).__module__.startswith("flask_centralauth.")
            or name == "current_user"
        )
    assert set(flask_centralauth.__all__) <= set(dir(flask_centralauth))
    with pytest.raises(AttributeError, match="'flask_centralauth' has no attribute 'Centralauth'"):
        getattr(flask_centralauth, "Centralauth")  # noqa: B009 (a type checker would not let it pass)


def _drawings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("drawings", ROOT / "docs" / "drawings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_module_has_its_row_in_the_picture() -> None:
    drawn = [name for _title, names in _drawings().ROWS for name in names.split()]
    packages = {name.partition(".")[0] for name in _of_the_extension()}
    assert sorted(drawn) == sorted(packages), "change ROWS of docs/drawings.py and run it"


def test_modules_import_from_their_row_of_the_picture_and_those_below() -> None:
    ranks = {name: rank for rank, (_title, names) in enumerate(_drawings().ROWS) for name in names.split()}
    upward = [
        f"{module} imports {imported}"
        for module in _of_the_extension()
        for imported in _own_imports(module)
        if imported
        and not imported.startswith("emulator")
        and ranks[imported.partition(".")[0]] < ranks[module.partition(".")[0]]
    ]
    assert upward == []


@pytest.mark.parametrize("name", ["flow.svg", "modules.svg"])
def test_pictures_are_as_drawn(name: str) -> None:
    drawing = (ROOT / "docs" / "images" / name).read_text("utf-8")
    assert drawing == _drawings().DRAWINGS[name](), "run: python docs/drawings.py"
