"""docs/comparison.md has a row for everything the official libraries offer, and names tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = (ROOT / "docs" / "comparison.md").read_text("utf-8")
NAMED: Final = sorted(set(re.findall(r"`(tests/[\w/.]+)::(\w+)`", PAGE)))
OFFICIAL_CLIENTS: Final = "tests/attacks/test_official_clients.py"

#: By library, method, option, parameter or header. `login({email})` is there when a first cell has it.
OFFERED: Final = {
    "NPM": """
        login() login({returnTo}) login({email}) login({state}) login({errorMessage})
        login({translations}) login({embed}) login({affirmExistingSession}) getEmbedScript()
        callback() callback({onStateReceived}) callback({onAfterCallback})
        authenticateDirect({email, authenticateDirect({translations}) getUserData() user()
        logout({returnTo}) logout({logoutSessionWide}) clientId secret authBaseUrl callbackUrl
        cache: canStale debug unsafeIncludeUser ValidationError HTTP networkError secretMissing
        authBaseUrlMissing
    """,
    "React": "useUser() useUserRequired() withCentralAuthAutomaticLogin() AffirmationRequired",
    "native": "CentralAuthProvider useCentralAuth()",
    "PHP": """
        getAuthorizationUrl() getState() getAccessToken() PKCE getResourceOwner() toArray()
        getId() getEmail() getGravatar() authorization_url token_url resource_owner_details_url
        domain IdentityProviderException
    """,
    "environment": "AUTH_ORGANIZATION_ID AUTH_SECRET AUTH_BASE_URL",
    "wire": """
        client_id response_type redirect_uri state code_challenge code_challenge_method email
        error_message error_description translations theme_settings embed=1 affirm=1 app_id
        device-id auth-ip user-agent domain sentence allowedDate Retry-After /login /callback
        /user /logout /affirm
    """,
}


@cache
def defined_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return frozenset(name for name in names if name.startswith(("test_", "Test")))


def rows() -> list[str]:
    return [line for line in PAGE.splitlines() if line.startswith("| ") and "proven by" not in line]


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda part: part)
def test_what_is_named_exists(file: str, name: str) -> None:
    assert name in defined_in(file)


def test_every_promise_has_its_test() -> None:
    assert len(rows()) > 80
    assert [
        row for row in rows() if not re.search(r"`tests/[\w/.]+::\w+` \|$", row) and "not needed" not in row
    ] == []
    assert PAGE.count("`tests/") == len(re.findall(r"`tests/[\w/.]+::\w+`", PAGE)), "each names one test"


@pytest.mark.parametrize("library", OFFERED)
def test_everything_that_is_offered_has_a_row(library: str) -> None:
    there = "\n".join(row.split(" | ")[0] for row in rows())
    assert [one for one in OFFERED[library].split() if one not in there] == []


def test_every_weakness_of_the_official_clients_has_a_row() -> None:
    assert defined_in(OFFICIAL_CLIENTS) == {name for file, name in NAMED if file == OFFICIAL_CLIENTS}
