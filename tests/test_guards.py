"""Guards: who is let in, and what everybody else gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Blueprint, Flask, Response, abort, flash, get_flashed_messages, jsonify, session
from flask.views import MethodView, View

from flask_centralauth import CentralAuth, SessionError, auth_required, current_user, public
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .browser_page import Hop
from .conftest import MakeApp, RunServer
from .raw_http import PAGE_VISIT, ask

LOGIN: Final = "/api/auth/login"


class Bare(Protocol):
    def __call__(self, **config: Any) -> tuple[Flask, CentralAuth]: ...


@pytest.fixture
def bare(emulator: Emulator, tmp_path: Path) -> Bare:
    """`bare(**config)`: an application without views, and its extension object."""

    def make(**config: Any) -> tuple[Flask, CentralAuth]:
        app = Flask("application_under_test", instance_path=str(tmp_path / "instance"))
        app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)
        app.config.update(config)
        return app, CentralAuth(app)

    return make


def _check_unauthorized(answer: Hop, login_url: str | None = LOGIN) -> None:
    assert answer.status == 401
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert body["errorCode"] == "tokenMissing"
    assert body["message"] == "Please sign in."
    assert body.get("loginUrl") == login_url
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert {"Cookie", "Authorization"} <= {value.strip() for value in answer.headers["Vary"].split(",")}
    assert "Basic" not in answer.headers.get("WWW-Authenticate", "")


# What a guest gets.

NAVIGATIONS: Final = {
    "fetch metadata": {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"},
    "mode alone": {"Sec-Fetch-Mode": "navigate"},
    "an old browser": {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
    "html alone": {"Accept": "text/html"},
    "xhtml alone": {"Accept": "application/xhtml+xml"},
}

PROGRAMS: Final = {
    "json": {"Accept": "application/json"},
    "json before html": {"Accept": "application/json, text/html;q=0.9"},
    "anything": {"Accept": "*/*"},
    "nothing said": {},
    "html refused": {"Accept": "text/html;q=0, */*"},
    "xhr": {"X-Requested-With": "XMLHttpRequest", **PAGE_VISIT},
    "fetch": {"Sec-Fetch-Mode": "cors", **PAGE_VISIT},
    "same-origin fetch": {"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "empty", **PAGE_VISIT},
    "image": {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", **PAGE_VISIT},
    "image alone": {"Sec-Fetch-Dest": "image", **PAGE_VISIT},
    "script": {"Sec-Fetch-Dest": "script", **PAGE_VISIT},
    "empty": {"Sec-Fetch-Dest": "empty", **PAGE_VISIT},
    "iframe": {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", **PAGE_VISIT},
    "websocket": {"Sec-Fetch-Mode": "websocket", **PAGE_VISIT},
    "json body": {"Content-Type": "application/json", **PAGE_VISIT},
}


@pytest.mark.parametrize("headers", NAVIGATIONS.values(), ids=list(NAVIGATIONS))
def test_a_page_visit_goes_to_login(
    make_app: MakeApp, live_server: RunServer, headers: dict[str, str]
) -> None:
    answer = ask(f"{live_server(make_app()).url}/private?x=%C3%A9", headers=headers)
    assert answer.status == 302
    address = urlsplit(answer.headers["Location"])
    assert (address.netloc, address.path) == ("", LOGIN)
    assert parse_qs(address.query) == {"return_to": ["/private?x=%C3%A9"]}
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Cookie" in answer.headers["Vary"]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("headers", PROGRAMS.values(), ids=list(PROGRAMS))
def test_a_program_gets_401(make_app: MakeApp, live_server: RunServer, headers: dict[str, str]) -> None:
    _check_unauthorized(ask(f"{live_server(make_app()).url}/private", headers=headers))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_get_401(bare: Bare, live_server: RunServer, method: str) -> None:
    app, _ = bare()

    @app.route("/thing", methods=["PUT", "PATCH", "DELETE"])
    @auth_required
    def thing() -> str:
        raise AssertionError("never executed")

    headers = {**PAGE_VISIT, "Sec-Fetch-Mode": "navigate"}
    _check_unauthorized(ask(f"{live_server(app).url}/thing", method=method, headers=headers))


@pytest.mark.parametrize("header", ["Bearer", "bearer ", "Bearer x y", "BEARER token"])
def test_a_bearer_client_is_never_redirected(make_app: MakeApp, live_server: RunServer, header: str) -> None:
    answer = ask(f"{live_server(make_app()).url}/private", headers={**PAGE_VISIT, "Authorization": header})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("header", ["Basic eDp5", "Digest x", "Bearerx y"])
def test_other_authorization_is_none_of_ours(make_app: MakeApp, live_server: RunServer, header: str) -> None:
    answer = ask(f"{live_server(make_app()).url}/private", headers={**PAGE_VISIT, "Authorization": header})
    assert answer.status == 302


@pytest.mark.parametrize(
    ("page", "return_to"),
    [
        ("{server}/edit?x=1", "/edit?x=1"),
        ("https://evil.example/edit", None),
        ("{server}/api/auth/logout", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("boosted", [{}, {"HX-Boosted": "true"}], ids=["plain", "boosted"])
def test_htmx_is_told_where_to_go(
    make_app: MakeApp,
    live_server: RunServer,
    page: str | None,
    return_to: str | None,
    boosted: dict[str, str],
) -> None:
    server = live_server(make_app())
    current = {"HX-Current-URL": page.format(server=server.url)} if page else {}
    answer = ask(f"{server.url}/private", headers={**PAGE_VISIT, "HX-Request": "true", **current, **boosted})
    _check_unauthorized(answer)
    address = urlsplit(answer.headers["HX-Redirect"])
    assert (address.netloc, address.path) == ("", LOGIN)
    assert parse_qs(address.query).get("return_to", [None]) == [return_to]


def test_a_preflight_passes(bare: Bare, live_server: RunServer) -> None:
    app, centralauth = bare()
    centralauth.protect(app)
    app.add_url_rule("/thing", "thing", auth_required(lambda: "thing"), methods=["POST"])
    headers = {"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
    answer = ask(f"{live_server(app).url}/thing", method="OPTIONS", headers=headers)
    assert answer.status == 200
    assert "POST" in answer.headers["Allow"]
    assert answer.body == b""


def test_what_runs_after_a_request_sees_the_refusal(bare: Bare, live_server: RunServer) -> None:
    """For example an extension that adds CORS headers."""
    app, _ = bare()
    app.add_url_rule("/thing", "thing", auth_required(lambda: "thing"))

    @app.after_request
    def cors(response: Response) -> Response:
        response.headers["Access-Control-Allow-Origin"] = "https://other.example"
        return response

    answer = ask(f"{live_server(app).url}/thing", headers={"Accept": "application/json"})
    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] == "https://other.example"


def test_a_background_call_does_not_change_where_one_returns(
    make_app: MakeApp, live_server: RunServer, browser: Browser
) -> None:
    server = live_server(make_app())
    guard = browser.get(f"{server.url}/private?a", follow=False)
    assert browser.fetch("/api/data").status == 401
    assert browser.get(guard.last.location or "").url == f"{server.url}/private?a"


# A guest's form.


def test_a_guests_form_is_not_executed_and_never_sent_again(
    bare: Bare, live_server: RunServer, browser: Browser
) -> None:
    app, _ = bare()
    saved: list[str] = []

    @app.get("/edit")
    @auth_required
    def edit() -> str:
        return str(get_flashed_messages()) + '<form method="post" action="/save"><input name="text"></form>'

    @app.post("/save")
    @auth_required
    def save() -> str:
        saved.append(current_user.email or "")
        return "saved"

    server = live_server(app)
    page = browser.get(f"{server.url}/edit?id=7")
    browser.cookies.clear()
    page = browser.submit(page.forms[0], {"text": "a long letter"})
    assert [hop.method for hop in page.hops] == ["POST"] + ["GET"] * (len(page.hops) - 1)
    assert page.hops[0].status == 303
    assert (page.status, page.url) == (200, f"{server.url}/edit?id=7")
    assert "was not saved" in page.text, "the note is on the page of the form"
    assert saved == []
    assert "was not saved" not in browser.get(f"{server.url}/edit?id=7").text
    assert browser.submit(page.forms[0], {"text": "a long letter"}).text == "saved"
    assert saved == ["alice@example.com"]


@pytest.mark.parametrize("referer", ["https://evil.example/edit", "{server}/api/auth/logout", "no url", ""])
def test_a_form_that_came_from_elsewhere(make_app: MakeApp, live_server: RunServer, referer: str) -> None:
    server = live_server(make_app())
    headers = {**PAGE_VISIT, "Content-Length": "0"}
    if referer:
        headers["Referer"] = referer.format(server=server.url)
    answer = ask(f"{server.url}/save", method="POST", headers=headers)
    assert (answer.status, answer.headers["Location"]) == (303, LOGIN)


def test_a_guests_upload_by_script(make_app: MakeApp, live_server: RunServer, browser: Browser) -> None:
    app = make_app()
    server = live_server(app)
    browser.get(f"{server.url}/")
    assert browser.fetch("/save", method="POST", json={"text": "x"}).status == 401
    assert "saves" not in app.extensions


# What can be guarded.


def test_functions_classes_and_blueprints(bare: Bare, live_server: RunServer, browser: Browser) -> None:
    app, _ = bare()

    @app.get("/bare/<int:number>")
    @auth_required
    def with_nothing(number: int) -> str:
        return f"bare {number} {current_user.email}"

    @app.get("/called")
    @auth_required()
    def called() -> str:
        return f"called {current_user.email}"

    @app.get("/verified")
    @auth_required(verified=True, fresh=True)
    def verified() -> str:
        return f"verified {current_user.email}"

    @app.get("/async")
    @auth_required
    async def awaited() -> str:
        session["seen"] = True
        return f"async {current_user.email}"

    @app.get("/async-outside")
    @auth_required(verified=True)
    @auth_required
    async def twice() -> str:
        return f"twice {current_user.email}"

    class Page(MethodView):
        decorators: ClassVar[list[Callable[..., Any]]] = [auth_required(verified=True), auth_required]

        def get(self, name: str) -> str:
            return f"{name} {current_user.email}"

        def post(self, name: str) -> str:
            raise AssertionError(f"{name}: never executed")

    app.add_url_rule("/class/<name>", view_func=Page.as_view("page"))

    class AsyncPage(View):
        decorators: ClassVar[list[Callable[..., Any]]] = [auth_required]

        async def dispatch_request(self) -> str:  # type: ignore[override]
            return f"async class {current_user.email}"

    app.add_url_rule("/async-class", view_func=AsyncPage.as_view("async_page"))

    admin = Blueprint("admin", __name__, url_prefix="/admin")

    @admin.before_request
    @auth_required
    def check() -> None:
        """Lets everybody on whom the guard let in."""

    admin.add_url_rule("/", "home", lambda: f"admin {current_user.email}")
    app.register_blueprint(admin)

    server = live_server(app)
    paths = (
        "/bare/7",
        "/called",
        "/verified",
        "/async",
        "/async-outside",
        "/class/x",
        "/async-class",
        "/admin/",
    )
    for path in paths:
        answer = ask(server.url + path, headers=PAGE_VISIT)
        assert answer.status == 302, path
        assert b"alice" not in answer.body
        _check_unauthorized(ask(server.url + path))
    assert ask(f"{server.url}/class/x", method="POST", headers={"Content-Length": "0"}).status == 401
    browser.get(f"{server.url}/called")
    texts = [browser.get(server.url + path).text for path in paths]
    names = ("bare 7", "called", "verified", "async", "twice", "x", "async class", "admin")
    assert texts == [f"{name} alice@example.com" for name in names]


def test_a_guarded_view_stays_what_it_was() -> None:
    @auth_required
    def view(number: int) -> str:
        """Shows a number."""
        return str(number)

    typed: Callable[[int], str] = view
    assert (typed.__name__, typed.__doc__) == ("view", "Shows a number.")


def test_verified_users_only(
    bare: Bare, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    emulator.add_user(email="new@example.com", verified=False)
    app, _ = bare()
    app.add_url_rule("/any", "any", auth_required(lambda: "any"))
    app.add_url_rule("/verified", "verified", auth_required(verified=True)(lambda: "verified"))
    server = live_server(app)
    browser.user = "new@example.com"
    assert browser.get(f"{server.url}/any").text == "any"
    page = browser.get(f"{server.url}/verified")
    assert page.status == 403
    assert "Location" not in page.headers
    assert browser.fetch("/verified").json()["errorCode"] == "userNotVerified"
    assert browser.get(f"{server.url}/any").text == "any", "and is still logged in"


# A guard that fails would fail open.


@pytest.mark.parametrize("path", ["/open", "/", "/missing", "/static/x.css"])
def test_the_wrong_order_is_an_error_and_never_serves_the_page(bare: Bare, path: str) -> None:
    app, _ = bare(PROPAGATE_EXCEPTIONS=True)

    @auth_required
    @app.get("/open")
    def left_open() -> str:
        return "SECRET"

    app.add_url_rule("/", "home", lambda: "home")
    for _ in range(2):
        with pytest.raises(
            RuntimeError, match=r"stands above @app.route for left_open, so it guards nothing"
        ):
            app.test_client().get(path)


def test_the_wrong_order_in_production(bare: Bare, live_server: RunServer) -> None:
    app, _ = bare(TESTING=False)
    page = Blueprint("page", __name__)

    @auth_required(verified=True)
    @page.get("/open")
    async def left_open() -> str:
        return "SECRET"

    app.register_blueprint(page)
    answer = ask(f"{live_server(app).url}/open", headers=PAGE_VISIT)
    assert answer.status == 500
    assert b"SECRET" not in answer.body


def test_the_wrong_order_of_a_check_for_a_blueprint(bare: Bare) -> None:
    app, _ = bare()
    admin = Blueprint("admin", __name__)

    @auth_required
    @admin.before_request
    def only_for_users() -> None:
        """Registered without its guard."""

    admin.add_url_rule("/admin", "home", lambda: "SECRET")
    app.register_blueprint(admin)
    with pytest.raises(RuntimeError, match="only_for_users"):
        app.test_client().get("/admin")


def test_another_decorator_between_does_not_hide_the_order(bare: Bare) -> None:
    from functools import wraps

    def logged(view: Callable[[], str]) -> Callable[[], str]:
        @wraps(view)
        def inner() -> str:
            return view()

        return inner

    app, _ = bare()

    @app.get("/right")
    @logged
    @auth_required
    def right() -> str:
        return "SECRET"

    assert app.test_client().get("/right").status_code == 401

    app, _ = bare()

    @auth_required
    @app.get("/wrong")
    @logged
    def wrong() -> str:
        return "SECRET"

    with pytest.raises(RuntimeError, match="wrong"):
        app.test_client().get("/wrong")


def test_without_the_extension_nothing_is_served() -> None:
    app = Flask(__name__)
    app.add_url_rule("/", "home", auth_required(lambda: "SECRET"))
    assert app.test_client().get("/").status_code == 500


@pytest.mark.parametrize("broken", ["store", "cookie"])
def test_a_check_that_breaks_lets_nobody_in(
    bare: Bare, live_server: RunServer, browser: Browser, tmp_path: Path, broken: str
) -> None:
    app, _ = bare(CENTRALAUTH_USER_TTL=0)
    app.add_url_rule("/private", "private", auth_required(lambda: "SECRET"))
    server = live_server(app)
    browser.get(f"{server.url}/private")
    cookie = browser.cookies.get("session")
    assert cookie is not None
    if broken == "store":
        app.session_interface.engine.close()  # type: ignore[attr-defined]
        for file in (tmp_path / "instance").iterdir():
            file.unlink()
        (tmp_path / "instance").rmdir()
        (tmp_path / "instance").write_text("no folder any more", "utf-8")
    value = cookie.value if broken == "store" else cookie.value[:-1] + "\x80"
    answer = ask(f"{server.url}/private", headers={**PAGE_VISIT, "Cookie": f"session={value}"})
    assert answer.status == (503 if broken == "store" else 302)
    assert b"SECRET" not in answer.body


# A whole application, or a part of it.


@pytest.fixture
def protected(bare: Bare) -> Flask:
    app, centralauth = bare()
    centralauth.protect(app)

    @app.get("/")
    def home() -> str:
        return f"home of {current_user.email}"

    @app.get("/health")
    @public
    def health() -> str:
        return "healthy"

    @public
    @app.get("/about")
    def about() -> str:
        return "about"

    @public
    class Terms(MethodView):
        def get(self) -> str:
            return "terms"

    class Account(MethodView):
        def get(self) -> str:
            return f"account of {current_user.email}"

    app.add_url_rule("/terms", view_func=Terms.as_view("terms"))
    app.add_url_rule("/account", view_func=Account.as_view("account"))
    reports = Blueprint("reports", __name__, url_prefix="/reports")

    # Its endpoint is called like the one for static files.
    @reports.get("/static")
    def static() -> str:
        return "SECRET"

    app.register_blueprint(reports)
    app.add_url_rule("/odd", "odd.static", lambda: "SECRET")
    return app


def test_a_protected_application(protected: Flask, live_server: RunServer, browser: Browser) -> None:
    server = live_server(protected)
    for path in ("/", "/account", "/reports/static", "/odd"):
        answer = ask(server.url + path, headers=PAGE_VISIT)
        assert answer.status == 302, path
        assert b"SECRET" not in answer.body
        _check_unauthorized(ask(server.url + path))
    for path, text in {"/health": "healthy", "/about": "about", "/terms": "terms"}.items():
        answer = ask(server.url + path, headers=PAGE_VISIT)
        assert (answer.status, answer.text) == (200, text)
        assert "Set-Cookie" not in answer.headers
        assert "Vary" not in answer.headers, "nobody asked who it is"
    assert ask(f"{server.url}/no-such-page", headers=PAGE_VISIT).status == 404
    assert ask(f"{server.url}/static/none.css", headers=PAGE_VISIT).status == 404
    assert ask(f"{server.url}/health", method="POST", headers={"Content-Length": "0"}).status == 405
    assert browser.get(f"{server.url}/account").text == "account of alice@example.com"


@pytest.mark.parametrize(
    "path",
    [
        "//health/../",
        "/api/auth/callback/../../account",
        "/API/AUTH/LOGIN",
        "/static/../account",
        "/account?x=/static/",
        "/%61ccount",
        "/health/../account",
        "/account;/health",
    ],
)
def test_exemptions_are_by_endpoint_not_by_path(protected: Flask, live_server: RunServer, path: str) -> None:
    answer = ask(live_server(protected).url + path, headers=PAGE_VISIT)
    assert answer.status in (302, 308, 404)
    assert b" of " not in answer.body


def test_one_blueprint_is_protected_and_another_is_not(
    bare: Bare, live_server: RunServer, browser: Browser
) -> None:
    app, centralauth = bare()
    inner, outer = (
        Blueprint("inner", __name__, url_prefix="/inner"),
        Blueprint("outer", __name__, url_prefix="/outer"),
    )
    open_part = Blueprint("open", __name__, url_prefix="/open")
    for blueprint in (inner, outer, open_part):
        blueprint.add_url_rule("/", "home", lambda: f"for {current_user.email}")
    outer.add_url_rule("/free", "free", public(lambda: "free"))
    centralauth.protect(outer)
    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    app.register_blueprint(open_part)
    server = live_server(app)
    assert ask(f"{server.url}/open/", headers=PAGE_VISIT).text == "for None"
    assert ask(f"{server.url}/outer/free", headers=PAGE_VISIT).text == "free"
    assert ask(f"{server.url}/outer/", headers=PAGE_VISIT).status == 302
    assert ask(f"{server.url}/outer/inner/", headers=PAGE_VISIT).status == 302
    assert browser.get(f"{server.url}/outer/inner/").text == "for alice@example.com"


# Caches.


def test_protected_pages_are_not_stored_unless_the_view_decides(
    bare: Bare, live_server: RunServer, browser: Browser
) -> None:
    app, _ = bare()
    app.add_url_rule("/private", "private", auth_required(lambda: "private"))
    app.add_url_rule("/open", "open", lambda: "open")

    @app.get("/own")
    @auth_required
    def own() -> Response:
        response = jsonify(1)
        response.cache_control.private = True
        response.cache_control.max_age = 60
        return response

    @app.get("/broken")
    @auth_required
    def broken() -> Response:
        raise SessionError()

    server = live_server(app)
    browser.get(f"{server.url}/private")
    assert browser.get(f"{server.url}/private").headers["Cache-Control"] == "no-store"
    own_answer = browser.get(f"{server.url}/own")
    assert own_answer.headers["Cache-Control"] == "private, max-age=60"
    assert "Cookie" in own_answer.headers["Vary"]
    assert "Cache-Control" not in browser.get(f"{server.url}/open").headers
    assert browser.fetch("/broken").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("guard", ["auth_required", "auth_required with arguments", "protect"])
@pytest.mark.parametrize(
    ("path", "found", "expected"),
    [
        ("/text", "public, max-age=60", "no-store"),
        ("/json", "public, max-age=60", "no-store"),
        ("/page", "public, max-age=60", "no-store"),
        ("/missing", "public, max-age=60", "no-store"),
        ("/text", "private, max-age=60", "private, max-age=60"),
        ("/own", None, "public, max-age=5"),
        ("/tuple", None, "public, max-age=5"),
        ("/stream", None, "public, max-age=5"),
    ],
)
def test_what_an_application_says_of_all_its_pages_is_not_said_of_private_ones(
    bare: Bare,
    live_server: RunServer,
    browser: Browser,
    guard: str,
    path: str,
    found: str | None,
    expected: str,
) -> None:
    """A shared cache would hand out somebody's page; only its own view may say so."""
    app, centralauth = bare()
    chosen = auth_required(fresh=True) if guard == "auth_required with arguments" else auth_required
    if guard == "protect":
        centralauth.protect(app)
    views: dict[str, Callable[[], Any]] = {
        "/text": lambda: "private",
        "/json": lambda: {"private": True},
        "/page": lambda: Response("private"),
        "/missing": lambda: abort(404),
        "/own": lambda: Response("shared", headers={"Cache-Control": "public, max-age=5"}),
        "/tuple": lambda: ("shared", 200, {"Cache-Control": "public, max-age=5"}),
        # Without a length it has as many headers as a page that says nothing.
        "/stream": lambda: Response(iter(["shared"]), headers={"Cache-Control": "public, max-age=5"}),
    }
    for address, view in views.items():
        app.add_url_rule(address, address, view if guard == "protect" else chosen(view))

    @app.after_request
    def cache_everything(response: Response) -> Response:
        if found is None:
            response.headers.setdefault("Cache-Control", "public, max-age=60")
        else:
            response.headers["Cache-Control"] = found
        return response

    answer = browser.get(f"{live_server(app).url}{path}")
    assert answer.headers.getlist("Cache-Control") == [expected]


@pytest.mark.parametrize("more", [{}, {"X-Frame-Options": "DENY"}, {"Vary": "Accept-Language"}])
def test_a_private_page_stays_out_of_caches_whatever_else_its_headers_say(
    bare: Bare, live_server: RunServer, browser: Browser, more: dict[str, str]
) -> None:
    app, _ = bare()
    app.add_url_rule("/text", "text", auth_required(lambda: "private"))

    @app.after_request
    def say_more(response: Response) -> Response:
        response.headers.update(more)
        return response

    headers = browser.get(f"{live_server(app).url}/text").headers
    assert headers.getlist("Cache-Control") == ["no-store"]
    vary = "Accept-Language, Cookie" if "Vary" in more else "Cookie"
    assert headers.getlist("Vary") == [vary]


def test_a_private_page_without_its_length_stays_out_of_caches(
    bare: Bare, live_server: RunServer, browser: Browser
) -> None:
    """With as many headers as a page mostly has, but others."""
    app, _ = bare()
    app.add_url_rule("/text", "text", auth_required(lambda: "private"))

    @app.after_request
    def cache_and_stream(response: Response) -> Response:
        del response.headers["Content-Length"]
        response.headers["Cache-Control"] = "public, max-age=60"
        response.automatically_set_content_length = False
        return response

    headers = browser.get(f"{live_server(app).url}/text").headers
    assert "no-store" in headers.getlist("Cache-Control")
    assert "Cookie" in headers.getlist("Vary")


# Cookie headers that break parsers.

COOKIES: Final = {
    "no value": "foo",
    "bad escape": "x=%E0%A4%A",
    "two equals": "a=b=c",
    "300": "; ".join(f"c{number}={number}" for number in range(300)),
    "64 KB": "x=" + "y" * 65_000,
    "64 KB session": "session=" + "y" * 65_000,
    "bytes": "session=\xff\xfe\x80",
    "quotes": 'session="a\\',
    "twice": "session=a; session=b",
    "separators": ";;;=;==; ,;",
    "a path": "session=../../etc/passwd",
    "300 sessions": "; ".join(f"session={'s' * 43}{number}" for number in range(300)),
    "an attempt": "__Host-centralauth_00000000_0000000000000000=x",
}


@pytest.mark.parametrize("cookie", COOKIES.values(), ids=list(COOKIES))
def test_a_cookie_header_that_breaks_parsers(make_app: MakeApp, live_server: RunServer, cookie: str) -> None:
    server = live_server(make_app())
    headers = {**PAGE_VISIT, "Cookie": cookie}
    user = ask(f"{server.url}/api/auth/user", headers=headers)
    assert (user.status, user.json()) == (200, None)
    assert ask(f"{server.url}/", headers=headers).text == "public"
    assert ask(f"{server.url}/private", headers=headers).status == 302
    assert ask(f"{server.url}/api/auth/login", headers=headers).status == 302
    assert ask(f"{server.url}/api/auth/callback?code=a&state=b", headers=headers).status == 400
    assert ask(f"{server.url}/api/auth/logout", headers=headers).status == 200


def test_flashes_of_the_application_survive_a_login(
    bare: Bare, live_server: RunServer, browser: Browser
) -> None:
    app, _ = bare()

    @app.get("/flash")
    def leave() -> str:
        flash("kept")
        return ""

    @app.get("/private")
    @auth_required
    def private() -> str:
        return str(get_flashed_messages())

    server = live_server(app)
    browser.get(f"{server.url}/flash")
    assert browser.get(f"{server.url}/private").text == "['kept']"
