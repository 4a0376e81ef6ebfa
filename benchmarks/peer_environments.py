"""Who is compared, and a virtual environment for each."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
INSTALL_WITHIN: Final = 300  # seconds
#: What every site runs on; as ours, so that only the library differs.
COMMON: Final = (
    "Flask>=3.1.3",
    "Flask-Session>=0.8,<0.9",
    "redis>=5.0.3",
    "requests>=2.32.4",
    "gunicorn>=23",
)


class NotInstalled(Exception):
    """Why an environment could not be made."""


@dataclass(frozen=True)
class Contender:
    """A way to protect a page.

    :param module: of `benchmarks.sites`.
    :param environment: its virtual environment is ``.venv-benchmarks-<environment>``; empty for this one.
    :param packages: what is installed there beside `COMMON`; the first is the library that is compared.
    :param real_login: whether its own login runs against CentralAuth.
    """

    title: str
    module: str
    environment: str = ""
    packages: tuple[str, ...] = ()
    real_login: bool = True

    def python(self) -> Path:
        """The interpreter that has it, installed when it is not.

        :raises NotInstalled: with what pip said last.
        """
        return installed(self.environment, self.packages) if self.environment else Path(sys.executable)

    def versions(self) -> str:
        """The versions of its packages, in one line."""
        names = [
            _name(package) for package in (*self.packages, "Flask", "Werkzeug", "Flask-Session", "redis")
        ]
        code = (
            "import json, sys\nfrom importlib.metadata import version\n"
            "print(json.dumps([f'{name} {version(name)}' for name in sys.argv[1:]]))"
        )
        command = [str(self.python()), "-c", code, *names]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        return ", ".join(json.loads(found))


OURS: Final = Contender("flask_centralauth", "ours")
NO_AUTH: Final = Contender("nothing (control)", "no_auth", real_login=False)
AUTHLIB: Final = Contender("Authlib by hand", "authlib_by_hand", "authlib", ("Authlib>=1.9",))
CALL_PER_PAGE: Final = Contender("requests, a call per page", "call_per_page", "authlib", ("Authlib>=1.9",))
FLASK_LOGIN: Final = Contender(
    "Flask-Login", "with_flask_login", "flask-login", ("Flask-Login>=0.6.3", "Authlib>=1.9")
)
FLASK_DANCE: Final = Contender("Flask-Dance", "with_flask_dance", "flask-dance", ("Flask-Dance>=7.1",))
FLASK_PYOIDC: Final = Contender(
    "Flask-pyoidc", "with_flask_pyoidc", "flask-pyoidc", ("Flask-pyoidc>=3.14.3",), real_login=False
)
IDENTITY: Final = Contender(
    "Microsoft identity", "with_identity", "identity", ("identity[flask]>=0.11",), real_login=False
)
ALL: Final = (NO_AUTH, OURS, AUTHLIB, FLASK_LOGIN, FLASK_DANCE, FLASK_PYOIDC, IDENTITY, CALL_PER_PAGE)


def installed(name: str, packages: tuple[str, ...]) -> Path:
    """The interpreter of a peer's environment, made at the first run and when the packages change."""
    folder = ROOT / f".venv-benchmarks-{name}"
    python, mark = folder / "bin" / "python", folder / "installed"
    wanted = hashlib.sha256(repr((sys.version, sys.base_prefix, COMMON, packages)).encode()).hexdigest()
    if mark.is_file() and mark.read_text() == wanted:
        return python
    print(f"Installing into {folder.name} (the first time only) ...", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, *COMMON, *packages]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_WITHIN)
        except subprocess.TimeoutExpired:
            raise NotInstalled(f"not installed within {INSTALL_WITHIN} seconds") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["without a word"]
            raise NotInstalled(f"not installed: {said[-1][:200]}")
    mark.write_text(wanted)
    return python


def _name(requirement: str) -> str:
    """The package a requirement names."""
    return requirement.partition(">")[0].partition("[")[0]
