"""Error pages and handlers of an application; when its page breaks, ours is shown and both are logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, jsonify
from werkzeug.exceptions import HTTPException

from flask_centralauth import (
    CentralAuth,
    CentralAuthError,
    ConfigurationError,
    EntityError,
    LoginError,
    PermissionDenied,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
)
from flask_centralauth.errors import error_row

NAVIGATION = {"Accept": "text/html"}

WriteTemplate = Callable[[str, str], None]


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    return tmp_path / "templates"


@pytest.fixture
def write(templates: Path) -> WriteTemplate:
    def write_template(name: str, content: str) -> None:
        path = templates / "centralauth" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    return write_template


@pytest.fixture
def make_shop(templates: Path, tmp_path: Path) -> Callable[..., Flask]:
    """An application with templates of its own. `before` gets it before the extension."""

    def make(before: Callable[[Flask], object] = lambda app: None) -> Flask:
        app = Flask("shop", template_folder=str(templates), instance_path=str(tmp_path / "instance"))
        app.config.update(
            SECRET_KEY="a secret key of the tests, long enough",
            TESTING=True,
            CENTRALAUTH_CLIENT_ID="shop",
            CENTRALAUTH_CLIENT_SECRET="s" * 32,
        )
        before(app)
        CentralAuth(app)

        @app.get("/raise/<code>")
        def raise_it(code: str) -> str:
            raise error_row(code).family(code, "upstream <b>words</b>", retry_after=7)

        return app

    return make


def visit(app: Flask, code: str = "noPermission", **options: Any) -> Any:
    # A login error goes back to login first: the callback nobody vouches for is a page at once.
    path = "/api/auth/callback" if error_row(code).kind == "login" else f"/raise/{code}"
    return app.test_client().get(path, headers=NAVIGATION, **options)


# Templates

FAMILY_TEMPLATES = {
    "errors/login.html": "stateMissing",
    "errors/permission.html": "noPermission",
    "errors/configuration.html": "domainInvalid",
    "errors/rate_limit.html": "tooManyRequests",
    "errors/unavailable.html": "networkError",
    "errors/entity.html": "entityMissing",
}


@pytest.mark.parametrize(("name", "code"), FAMILY_TEMPLATES.items())
def test_page_of_one_family(
    make_shop: Callable[..., Flask], write: WriteTemplate, name: str, code: str
) -> None:
    write(name, "own page of {{ error.family }}")
    app = make_shop()

    for other in FAMILY_TEMPLATES.values():
        page = visit(app, other)
        assert (page.text == f"own page of {error_row(code).kind}") == (other == code)
        assert page.status_code == error_row(other).status


def test_page_of_one_code_goes_before_its_family(
    make_shop: Callable[..., Flask], write: WriteTemplate
) -> None:
    write("errors/userBlocked.html", "blocked")
    write("errors/permission.html", "denied")
    app = make_shop()

    assert visit(app, "userBlocked").text == "blocked"
    assert visit(app, "noPermission").text == "denied"


def test_one_page_for_all(make_shop: Callable[..., Flask], write: WriteTemplate) -> None:
    write("error.html", "own: {{ error.public_message }}")
    app = make_shop()

    for code in FAMILY_TEMPLATES.values():
        assert visit(app, code).text.startswith("own: ")


def test_base_of_its_own_gives_every_page_its_look(
    make_shop: Callable[..., Flask], write: WriteTemplate
) -> None:
    write("base.html", "<main>{% block content %}{% endblock %}</main><footer>Shop</footer>")
    app = make_shop()

    for code in FAMILY_TEMPLATES.values():
        page = visit(app, code)
        assert page.text.endswith("<footer>Shop</footer>")
        assert "<h1>" in page.text


def test_page_gets_what_the_contract_promises(make_shop: Callable[..., Flask], write: WriteTemplate) -> None:
    write(
        "error.html",
        "{{ error.error_code }}|{{ error.public_message }}|{{ error.code }}|{{ error.incident_id|length }}"
        "|{{ login_url }}|{{ retry_url }}|{{ home_url }}|{{ logout_url }}",
    )
    app = make_shop()

    assert visit(app, "networkError").text.split("|") == [
        "networkError",
        "Signing in is not possible right now. Please try again in a moment.",
        *("503", "10", "/api/auth/login?return_to=/raise/networkError", "/raise/networkError", "/", "None"),
    ]
    # Trying again does not help when the operator has to act.
    assert visit(app, "domainInvalid").text.split("|")[5] == "None"
    mounted = visit(app, "noPermission", base_url="https://shop.example/sub/")
    assert mounted.text.split("|")[4:] == [
        "/sub/api/auth/login?return_to=/sub/raise/noPermission",
        *("/sub/raise/noPermission", "/sub/", "None"),
    ]


def test_words_from_outside_are_escaped_in_an_own_page(
    make_shop: Callable[..., Flask], write: WriteTemplate
) -> None:
    write("error.html", "{{ error.public_message }}{{ error.message }}")

    page = visit(make_shop(), "entityMissing")
    assert "<b>" not in page.text
    assert page.text.count("&lt;b&gt;") == 2


@pytest.mark.parametrize("code", ["permission", "unavailable", "entity", "base", "../base", "error"])
def test_code_from_outside_names_no_other_page(make_shop: Callable[..., Flask], code: str) -> None:
    app = make_shop()

    @app.get("/odd")
    def odd() -> str:
        raise CentralAuthError(code)

    page = app.test_client().get("/odd", headers=NAVIGATION)
    assert page.status_code == 400
    assert "Signing in did not work." in page.text
    assert "<h1>You are not signed in</h1>" in page.text


BROKEN = {
    "raises": "{{ 1 / 0 }}",
    "unknown variable": "{{ nothing.at.all }}",
    "syntax": "{% if %}",
    "unknown base": "{% extends 'nowhere.html' %}",
    "unknown filter": "{{ error|nothing }}",
    "unknown endpoint": "{{ url_for('nowhere') }}",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize(
    "name", ["errors/noPermission.html", "errors/permission.html", "error.html", "base.html"]
)
def test_broken_page_gives_way_to_ours(
    make_shop: Callable[..., Flask],
    write: WriteTemplate,
    caplog: pytest.LogCaptureFixture,
    name: str,
    content: str,
) -> None:
    write(name, content)
    page = visit(make_shop())

    assert page.status_code == 403
    assert "This account has no access here." in page.text
    assert "centralauth-incident" in page.text
    assert "Traceback" not in page.text
    broken, incident = [record for record in caplog.records if record.name == "flask_centralauth"][-2:]
    assert (broken.levelno, broken.exc_info is not None) == (logging.ERROR, True)
    assert incident.__dict__["centralauth"]["incident_id"] in page.text


def test_broken_context_of_the_application_gives_way_too(make_shop: Callable[..., Flask]) -> None:
    app = make_shop()

    @app.context_processor
    def broken() -> dict[str, Any]:
        raise RuntimeError("the database of the menu is down")

    page = visit(app, "networkError")
    assert page.status_code == 503
    assert "Signing in is not possible right now." in page.text


# Handlers


HANDLED = {
    SessionError: "sessionExpired",
    LoginError: "stateMissing",
    PermissionDenied: "noPermission",
    ConfigurationError: "domainInvalid",
    RateLimitError: "tooManyRequests",
    ServiceUnavailable: "networkError",
    EntityError: "entityMissing",
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error_class", HANDLED)
def test_handler_of_one_family(
    make_shop: Callable[..., Flask], error_class: type[CentralAuthError], when: str
) -> None:
    def handle(error: CentralAuthError) -> tuple[str, int]:
        return f"own {error.error_code}", error.code or 0

    def register(app: Flask) -> None:
        app.register_error_handler(error_class, handle)

    app = make_shop(register if when == "before" else lambda app: None)
    if when == "after":
        register(app)

    for other, code in HANDLED.items():
        answer = visit(app, code)
        assert answer.text.startswith("own ") == (other is error_class)
        if other is error_class:
            assert (answer.text, answer.status_code) == (f"own {code}", error_row(code).status)


@pytest.mark.parametrize("when", ["before", "after"])
def test_handler_of_all(make_shop: Callable[..., Flask], when: str) -> None:
    def handle(error: CentralAuthError) -> Any:
        return jsonify(own=error.error_code), error.code

    def register(app: Flask) -> None:
        app.register_error_handler(CentralAuthError, handle)

    app = make_shop(register if when == "before" else lambda app: None)
    if when == "after":
        register(app)

    for code in HANDLED.values():
        answer = visit(app, code)
        assert answer.json == {"own": code}
        assert answer.status_code == error_row(code).status


def test_handlers_for_other_errors_get_none_of_ours(make_shop: Callable[..., Flask]) -> None:
    def register(app: Flask) -> None:
        for kind in (401, 403, 503, HTTPException, Exception):
            app.register_error_handler(kind, lambda _error: ("not ours", 418))

    app = make_shop(register)
    for code in HANDLED.values():
        assert visit(app, code).status_code != 418
    assert app.test_client().get("/nowhere").status_code == 418


def test_handler_may_return_the_error_itself(make_shop: Callable[..., Flask]) -> None:
    app = make_shop(lambda app: app.register_error_handler(ServiceUnavailable, lambda error: error))
    answer = visit(app, "networkError")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
    assert "Signing in is not possible right now." in answer.text
