"""The pages people see, rendered on their own: no extension, no request to anywhere.

Each page is read with an HTML parser, so that a value that breaks out of its place
shows as an element or attribute that should not be there.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from gettext import NullTranslations
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template
from flask_babel import Babel
from jinja2 import DictLoader, StrictUndefined
from jinja2.loaders import ChoiceLoader

import flask_centralauth
from flask_centralauth import CentralAuth, PermissionDenied, translations
from flask_centralauth.errors import ERRORS, CentralAuthError, ErrorCode, error_row

TEMPLATES = Path(flask_centralauth.__file__).parent / "templates"
EXAMPLE_CSS = Path(__file__).parents[1] / "example_app" / "static" / "example.css"
SOURCES = sorted(TEMPLATES.rglob("*.html"))
PAGES = [path.relative_to(TEMPLATES).as_posix() for path in SOURCES if path.name != "base.html"]
#: The one page that needs a script, with the nonce.
WITH_SCRIPT = "centralauth/break_out.html"
ERROR_PAGES = [page for page in PAGES if "error" in page]

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}${7*7}</title>\u2028"
VOID = frozenset("meta link input img br path circle rect".split())


class Page(HTMLParser):
    """What a browser would see of a page: elements, their attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1], data.strip()))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> str:
        return " ".join(text for within, text in self.texts if within == tag)

    @property
    def words(self) -> str:
        return " ".join(text for within, text in self.texts if within != "style")


@pytest.fixture
def bare_app() -> Iterator[Flask]:
    app = Flask(__name__, template_folder=str(TEMPLATES))
    app.jinja_env.undefined = StrictUndefined
    with app.test_request_context():
        yield app


def make_error(code: str, message: str | None = None, **options: Any) -> CentralAuthError:
    return error_row(code).family(code, message, **options)


def context(**changes: Any) -> dict[str, Any]:
    return {
        "error": make_error(ErrorCode.STATE_INVALID),
        "login_url": "/api/auth/login",
        "retry_url": "/api/auth/login?return_to=/a",
        "home_url": "/",
        "logout_url": "/api/auth/logout",
        "return_to": "/a",
        "confirm_url": "/api/auth/confirm",
        "address": "a***@example.com",
        "code": "a-code",
        "state": "a-state",
        "form_token": "a-token",
        "debug": False,
        "csp_nonce": "random-nonce",
        "centralauth_lang": "en",
        "_": lambda sentence: sentence,
        **changes,
    }


def render(name: str, **changes: Any) -> Page:
    return Page(render_template(name, **context(**changes)))


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible_and_needs_nothing_from_outside(bare_app: Flask, name: str, debug: bool) -> None:
    page = render(name, debug=debug, centralauth_lang="nl")

    assert page.all("html") == [{"lang": "nl"}]
    assert len(page.all("main")) == 1
    assert len(page.all("h1")) == 1
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
    assert page.text("title") == page.text("h1") != ""
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        assert "style" not in attributes, f"inline style on <{tag}>"
        assert not [name for name in attributes if name.startswith("on")]
        assert tag not in {"iframe", "object", "embed"}
        for link in ("href", "src", "action"):
            assert attributes.get(link, "/").startswith(("/", "data:,"))
    assert page.all("script") == ([{"nonce": "random-nonce"}] if name == WITH_SCRIPT else [])
    assert page.all("style") == [{"nonce": "random-nonce"}]
    assert all(svg["aria-hidden"] == "true" for svg in page.all("svg"))


@pytest.mark.parametrize("name", PAGES)
def test_page_is_small(bare_app: Flask, name: str) -> None:
    assert len(render_template(name, **context(debug=True))) < 8_000


@pytest.mark.parametrize("name", PAGES)
def test_hostile_values_stay_text(bare_app: Flask, name: str) -> None:
    error = make_error("nobodyKnows" + HOSTILE, HOSTILE, public_message=HOSTILE, hint=HOSTILE)
    error.incident_id = HOSTILE
    urls = dict.fromkeys(
        ("login_url", "retry_url", "home_url", "logout_url", "return_to", "confirm_url"), "/" + HOSTILE
    )
    page = render(name, error=error, debug=True, csp_nonce=HOSTILE, centralauth_lang=HOSTILE, **urls)

    assert len(page.all("script")) == (name == WITH_SCRIPT)
    assert not page.all("img")
    assert "49" not in page.words
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    for _, attributes in page.elements:
        for key in ("href", "action"):
            assert attributes.get(key, "/") in ("/", "data:,", "/" + HOSTILE)


@pytest.mark.parametrize("name", PAGES)
def test_control_without_address_is_left_out(bare_app: Flask, name: str) -> None:
    page = render(name, login_url=None, retry_url=None, home_url=None, return_to=None, logout_url=None)

    assert not page.all("a")
    assert not [a for a in page.all("input") if a["value"] in ("", "None")]
    if name in ERROR_PAGES:
        assert not page.all("form")


@pytest.mark.parametrize("name", ERROR_PAGES)
def test_page_has_one_clear_action(bare_app: Flask, name: str) -> None:
    page = render(name)

    buttons = [a for _, a in page.elements if "centralauth-button" in a.get("class", "")]
    assert len(buttons) == 1


@pytest.mark.parametrize("code", ERRORS)
def test_every_code_shows_its_sentence_and_incident(bare_app: Flask, code: str) -> None:
    error = make_error(code, "internal words")
    page = render(f"centralauth/errors/{error.family}.html", error=error)

    assert error.public_message in page.words
    assert error.incident_id in page.words
    assert error.hint not in page.words
    if not error.row.shows_message:
        assert "internal words" not in page.words


def test_debug_shows_hint_code_and_message(bare_app: Flask) -> None:
    error = make_error(
        ErrorCode.CALLBACK_URL_INVALID, "not on the whitelist", hint="Add http://127.0.0.1:5000."
    )
    page = render("centralauth/errors/configuration.html", error=error, debug=True)

    for words in ("callbackUrlInvalid", "HTTP 500", "not on the whitelist", "Add http://127.0.0.1:5000."):
        assert words in page.words


def test_another_account_is_a_post_that_comes_back(bare_app: Flask) -> None:
    page = render("centralauth/errors/permission.html")

    assert page.all("form") == [{"method": "post", "action": "/api/auth/logout"}]
    assert page.all("input") == [
        {"type": "hidden", "name": "sign_in_again", "value": "1"},
        {"type": "hidden", "name": "return_to", "value": "/api/auth/login?return_to=/a"},
    ]


def test_nobody_signed_in_gets_a_link_to_another_account(bare_app: Flask) -> None:
    page = render("centralauth/errors/permission.html", logout_url=None)

    assert not page.all("form")
    assert "/api/auth/login" in [a["href"] for a in page.all("a")]


def test_sign_out_page_posts_and_keeps_the_return_path(bare_app: Flask) -> None:
    page = render("centralauth/logout.html", return_to="/a?b=1&c=2")

    assert page.all("form") == [{"method": "post", "action": "/api/auth/logout"}]
    assert page.all("input") == [{"type": "hidden", "name": "return_to", "value": "/a?b=1&c=2"}]


@pytest.mark.parametrize(
    ("retry_after", "words"),
    [
        (None, ""),
        (1, ""),
        (30, "in 30 seconds"),
        (90, "in 90 seconds"),
        (91, "in 2 minutes"),
        (3600, "in 60 minutes"),
    ],
)
def test_rate_limit_says_how_long(bare_app: Flask, retry_after: int | None, words: str) -> None:
    error = make_error(ErrorCode.TOO_MANY_REQUESTS, retry_after=retry_after)
    page = render("centralauth/errors/rate_limit.html", error=error)

    assert words in page.words
    assert ("You can try again" in page.words) == bool(words)


@pytest.mark.parametrize(
    ("code", "heading"),
    [(ErrorCode.ENTITY_MISSING, "Not found"), (ErrorCode.ENTITY_INVALID, "That is not possible")],
)
def test_entity_heading_follows_the_status(bare_app: Flask, code: ErrorCode, heading: str) -> None:
    assert render("centralauth/errors/entity.html", error=make_error(code)).text("h1") == heading


@pytest.mark.parametrize("name", PAGES)
def test_pseudo_locale_leaves_no_english(bare_app: Flask, name: str) -> None:
    def pseudo(sentence: str) -> str:
        return f"⟦{sentence}⟧"

    for code in (ErrorCode.LOGIN_ATTEMPT_INVALID, ErrorCode.ENTITY_MISSING, ErrorCode.TOO_MANY_REQUESTS):
        error = make_error(code, public_message="⟦…⟧", retry_after=30)
        page = render(name, error=error, _=pseudo)
        words = " ".join(text for within, text in page.texts if within not in ("style", "script", "code"))
        assert not re.search(r"\w", re.sub("⟦[^⟧]*⟧", "", words)), words


class PseudoTranslations(NullTranslations):
    """A language in which every translated sentence can be told from one that is not."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"


@pytest.mark.parametrize("code", ERRORS)
def test_pseudo_locale_reaches_every_sentence_of_the_table(
    bare_app: Flask, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translations, "_catalogue", lambda language: PseudoTranslations())
    error = make_error(code)
    page = render(f"centralauth/errors/{error.family}.html", error=error, _=translations.gettext)

    assert f"⟦{error.row.sentence}⟧" in page.words
    words = " ".join(text for within, text in page.texts if within not in ("style", "code"))
    assert not re.search(r"\w", re.sub("⟦[^⟧]*⟧", "", words)), words


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_source_never_switches_escaping_off(path: Path) -> None:
    source = re.sub(r"{#.*?#}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)

    assert not re.search(r"\|\s*safe|Markup|autoescape|render_template_string", source)
    sentences = len(re.findall(r'\b_\("[^"]+"\)', source))
    assert sentences == len(re.findall(r"\b_\(", source)), "only whole sentences can be extracted"


@pytest.mark.parametrize("name", PAGES)
def test_one_line_gives_all_pages_the_layout_of_an_application(bare_app: Flask, name: str) -> None:
    layout = (
        "<!doctype html><html><head><title>{% block title %}{% endblock %} · Shop</title></head>"
        "<body><main>{% block content %}{% endblock %}</main>"
        "<footer>{% block footer %}Imprint{% endblock %}{% block actions %}Help{% endblock %}</footer>"
        "</body></html>"
    )
    own = {"layout.html": layout, "centralauth/base.html": '{% extends "layout.html" %}'}
    assert bare_app.jinja_loader is not None
    bare_app.jinja_env.loader = ChoiceLoader([DictLoader(own), bare_app.jinja_loader])

    page = render(name)

    assert page.text("title").endswith("· Shop")
    assert page.text("footer") == "ImprintHelp"
    assert len(page.all("h1")) == 1
    assert [a for _, a in page.elements if "centralauth-button" in a.get("class", "")]


@pytest.mark.parametrize("name", [page for page in ERROR_PAGES if "/errors/" in page])
def test_own_error_page_replaces_every_family(bare_app: Flask, name: str) -> None:
    assert bare_app.jinja_loader is not None
    own = DictLoader({"centralauth/error.html": "<p>own page: {{ error.public_message }}</p>"})
    bare_app.jinja_env.loader = ChoiceLoader([own, bare_app.jinja_loader])

    assert render(name).words.startswith("own page: ")


def test_layout_of_an_application_keeps_its_own_translations(tmp_path: Path) -> None:
    (tmp_path / "templates" / "centralauth").mkdir(parents=True)
    layout = tmp_path / "templates" / "layout.html"
    layout.write_text("<p>{{ _('Hello %(name)s', name='you') }}</p>{% block content %}{% endblock %}")
    base = tmp_path / "templates" / "centralauth" / "base.html"
    base.write_text('{% extends "layout.html" %}')
    app = Flask("shop", root_path=str(tmp_path), instance_path=str(tmp_path / "instance"))
    app.config.update(SECRET_KEY="s" * 32, CENTRALAUTH_CLIENT_ID="shop", CENTRALAUTH_CLIENT_SECRET="s" * 32)
    Babel(app, default_locale="de")
    CentralAuth(app)

    @app.get("/")
    def refuse() -> str:
        raise PermissionDenied()

    page = app.test_client().get("/", headers={"Accept": "text/html"}).text

    assert "Sie haben keinen Zugang" in page
    assert "<p>Hello you</p>" in page


def colours(css: str) -> Iterator[dict[str, str]]:
    light = dict(
        re.findall(r"--([\w-]+): (#[0-9a-f]+)", css.partition("@media (prefers-color-scheme: dark)")[0])
    )
    dark = dict(
        re.findall(r"--([\w-]+): (#[0-9a-f]+)", css.partition("@media (prefers-color-scheme: dark)")[2])
    )
    assert light.keys() == dark.keys() != set()
    yield from (light, dark)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    "path", [TEMPLATES / "centralauth" / "base.html", EXAMPLE_CSS], ids=["package", "example"]
)
def test_colours_are_readable_in_light_and_dark(path: Path) -> None:
    """Text needs a contrast of 4.5 (WCAG 2.2, 1.4.3), in both colour schemes."""
    pairs = [
        *(
            (text, ground)
            for text in ("text", "quiet", "accent", "accent-hover")
            for ground in ("page", "card")
        ),
        ("text", "tint"),
        ("accent", "tint"),
        ("quiet", "code"),
        ("on-accent", "accent"),
        ("on-accent", "accent-hover"),
        ("good", "good-tint"),
        ("bad", "bad-tint"),
    ]
    for scheme in colours(path.read_text(encoding="utf-8")):
        for text, ground in pairs:
            if text in scheme and ground in scheme:
                assert contrast(scheme[text], scheme[ground]) >= 4.5, f"{text} on {ground} in {scheme}"
