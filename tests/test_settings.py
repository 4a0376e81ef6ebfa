"""Settings: every one has its default, every mistake is named at start-up, no secret is repeated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from flask import Flask

from flask_centralauth import CentralAuth, ConfigurationError, public
from flask_centralauth.config import Settings, load
from flask_centralauth.setting_table import SETTINGS

SECRET: Final = "sentinel-client-secret-0123456789"[:32]
REQUIRED: Final = {
    "SECRET_KEY": "a secret key of the tests, long enough",
    "CENTRALAUTH_CLIENT_ID": "organization-1",
    "CENTRALAUTH_CLIENT_SECRET": SECRET,
}

AUTOLOGIN_KEY: Final = "sentinel-0123456789-abcdefghijklmnopqrstuvw"
AUTOLOGIN_DOMAINS: Final = ["https://a.example", "https://b.example"]

#: The documented settings: key, environment name, default.
DOCUMENTED: Final = {
    "CENTRALAUTH_CLIENT_ID": ("AUTH_ORGANIZATION_ID", "required"),
    "CENTRALAUTH_CLIENT_SECRET": ("AUTH_SECRET", "required"),
    "CENTRALAUTH_BASE_URL": ("AUTH_BASE_URL", "https://centralauth.com"),
    "CENTRALAUTH_CALLBACK_URL": (None, None),
    "CENTRALAUTH_URL_PREFIX": (None, "/api/auth"),
    "CENTRALAUTH_LOGIN_VIEW": (None, None),
    "CENTRALAUTH_AFTER_LOGIN": (None, "/"),
    "CENTRALAUTH_AFTER_LOGOUT": (None, "/"),
    "CENTRALAUTH_RETURN_HOSTS": (None, ()),
    "CENTRALAUTH_AUTOLOGIN_DOMAINS": (None, ()),
    "CENTRALAUTH_AUTOLOGIN_KEY": (None, None),
    "CENTRALAUTH_USER_TTL": (None, 60),
    "CENTRALAUTH_STALE_GRACE": (None, 300),
    "CENTRALAUTH_TIMEOUT": (None, 5.0),
    "CENTRALAUTH_LOGIN_LIFETIME": (None, 1800),
    "CENTRALAUTH_LOGOUT_EVERYWHERE": (None, False),
    "CENTRALAUTH_ALLOW_BLOCKED": (None, False),
    "CENTRALAUTH_REQUIRE_VERIFIED": (None, False),
    "CENTRALAUTH_UNSAFE_LOCAL_ID_TOKEN": (None, False),
    "CENTRALAUTH_TRANSLATIONS": (None, None),
    "CENTRALAUTH_THEME": (None, None),
    "CENTRALAUTH_FLASH_CATEGORY": (None, "error"),
}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """A bare application with nothing set, in production."""
    return Flask("application_under_test", instance_path=str(tmp_path / "instance"))


@pytest.fixture
def settings_of(app: Flask) -> Callable[..., Settings]:
    def read(**config: Any) -> Settings:
        app.config.update({**REQUIRED, **config})
        return load(app)

    return read


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """What was warned of so far, as one text."""
    with caplog.at_level(logging.WARNING, logger="flask_centralauth"):
        yield lambda: "\n".join(record.getMessage() for record in caplog.records)


def _problems(app: Flask, **config: Any) -> list[str]:
    app.config.update({**REQUIRED, **config})
    with pytest.raises(ConfigurationError) as refused:
        CentralAuth(app)
    assert "centralauth" not in app.extensions, "nothing is half set up"
    problems = list(refused.value.problems)
    heading = "The settings of CentralAuth need attention:"
    assert str(refused.value) == "\n  - ".join([heading, *problems])
    return problems


def test_every_documented_setting_exists_with_its_default(settings_of: Callable[..., Settings]) -> None:
    settings = settings_of()
    assert {setting.key for setting in SETTINGS} == set(DOCUMENTED)
    for setting in SETTINGS:
        environment, default = DOCUMENTED[setting.key]
        assert setting.environment == environment
        assert setting.effect.endswith(".")
        if default != "required":
            assert getattr(settings, setting.name) == default, setting.key


def test_settings_cannot_be_changed_and_hide_their_secrets(settings_of: Callable[..., Settings]) -> None:
    settings = settings_of()
    with pytest.raises(AttributeError):
        settings.client_id = "another"  # type: ignore[misc]
    assert SECRET not in repr(settings)
    assert REQUIRED["SECRET_KEY"] not in repr(settings)


def test_all_problems_come_at_once_without_a_value(app: Flask) -> None:
    problems = _problems(
        app,
        SECRET_KEY=None,
        CENTRALAUTH_CLIENT_ID=None,
        CENTRALAUTH_CLIENT_SECRET=f"{SECRET} with blanks",
        CENTRALAUTH_BASE_URL="sentinel-host.example",
        CENTRALAUTH_CALLBACK_URL="https://app.example/cb?sentinel=1",
        CENTRALAUTH_TIMEOUT=-17,
        CENTRALAUTH_RETURN_HOSTS=("*.sentinel.example",),
        CENTRALAUTH_ALLOW_BLOCKED="sentinel",
    )
    keys = [problem.partition(":")[0] for problem in problems]
    assert keys == [
        "CENTRALAUTH_CLIENT_ID",
        "CENTRALAUTH_CLIENT_SECRET",
        "CENTRALAUTH_BASE_URL",
        "CENTRALAUTH_CALLBACK_URL",
        "CENTRALAUTH_RETURN_HOSTS",
        "CENTRALAUTH_TIMEOUT",
        "CENTRALAUTH_ALLOW_BLOCKED",
        "SECRET_KEY",
    ]
    text = "\n".join(problems)
    assert "sentinel" not in text
    assert "-17" not in text
    assert "AUTH_ORGANIZATION_ID" in text, "the fix names the environment variable"
    assert all(problem.endswith(".") for problem in problems)


@pytest.mark.parametrize("key", ["CENTRALAUTH_CLIENT_ID", "CENTRALAUTH_CLIENT_SECRET"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "is missing"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("changeme", "is a placeholder"),
        ("change-me", "is a placeholder"),
        ("your-client-id", "is a placeholder"),
        ("<secret>", "is a placeholder"),
        ("None", "is a placeholder"),
        (12345678, "is int, not text"),
        ("two words", "has white space"),
        ("s\xe9cret-of-this-application-00000", "beyond ASCII"),
    ],
)
def test_credentials_that_cannot_be_right(app: Flask, key: str, value: object, words: str) -> None:
    (problem,) = _problems(app, **{key: value})
    assert problem.startswith(f"{key}: {words}") or words in problem
    assert "s\xe9cret" not in problem


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CLIENT_ID", "with:colon", "has a colon"),
        ("BASE_URL", "centralauth.com", "is not an absolute URL"),
        ("BASE_URL", "http://centralauth.com", "is http"),
        ("BASE_URL", "https://ca.example@evil.example", "absolute URL"),
        ("BASE_URL", "https://ca.example/path", "has a path"),
        ("BASE_URL", "https://ca.example?x=1", "absolute URL"),
        ("BASE_URL", "https://[", "is not a URL"),
        ("BASE_URL", "javascript:alert(1)", "is not an absolute URL"),
        ("BASE_URL", "http://169.254.169.254", "is http"),
        ("CALLBACK_URL", "/api/auth/callback", "is not an absolute URL"),
        ("CALLBACK_URL", "https://app.example", "has no path"),
        ("CALLBACK_URL", "https://app.example/cb#x", "query or fragment"),
        ("URL_PREFIX", "api", "is not a path"),
        ("URL_PREFIX", "/", "is not a path"),
        ("URL_PREFIX", "/a<b>", "is not a path"),
        ("LOGIN_VIEW", "/sign-in", "is not an endpoint name"),
        ("AFTER_LOGIN", "//evil.example", "is not a safe path"),
        ("AFTER_LOGIN", "https://app.example/", "neither a path"),
        ("AFTER_LOGIN", "/api/auth/login", "login's own routes"),
        ("AFTER_LOGIN", "centralauth.logout", "login's own routes"),
        ("AFTER_LOGIN", "staff_centralauth.logout", "login's own routes"),
        ("AFTER_LOGOUT", "/\\evil.example", "is not a safe path"),
        ("RETURN_HOSTS", "other.example", "is not a list"),
        ("RETURN_HOSTS", ("other.example/path",), "is not an exact host"),
        ("RETURN_HOSTS", ("*.example",), "is not an exact host"),
        ("AUTOLOGIN_DOMAINS", "https://a.example https://b.example", "is not a list"),
        ("AUTOLOGIN_DOMAINS", ["https://a.example"], "has one entry"),
        ("AUTOLOGIN_DOMAINS", ["https://a.example", "a.example:443"], "has one entry"),
        ("AUTOLOGIN_DOMAINS", ["https://a.example", "http://b.example"], "has an http entry"),
        ("AUTOLOGIN_DOMAINS", ["https://*.example", "https://b.example"], "is not an exact host"),
        ("AUTOLOGIN_DOMAINS", ["https://a.example/auth", "https://b.example"], "is not an exact host"),
        ("AUTOLOGIN_KEY", "k" * 64, "is too easy to guess"),
        ("AUTOLOGIN_KEY", AUTOLOGIN_KEY[:31], "is too easy to guess"),
        ("AUTOLOGIN_KEY", f"{AUTOLOGIN_KEY} {AUTOLOGIN_KEY}", "has blanks"),
        ("AUTOLOGIN_KEY", AUTOLOGIN_KEY.encode(), "is bytes, not text"),
        ("AUTOLOGIN_KEY", AUTOLOGIN_KEY, "belong together"),
        ("USER_TTL", "soon", "is not a number from 0 to 86400"),
        ("USER_TTL", True, "is not a number"),
        ("STALE_GRACE", float("nan"), "is not a number"),
        ("TIMEOUT", 0, "is not a number from 0.1 to 60"),
        ("TIMEOUT", float("inf"), "is not a number"),
        ("LOGIN_LIFETIME", 1, "is not a number from 60"),
        ("LOGOUT_EVERYWHERE", "maybe", "is not true or false"),
        ("REQUIRE_VERIFIED", 1, "is not true or false"),
        ("TRANSLATIONS", {"loginPageIntr": "x"}, "did you mean loginPageIntro?"),
        ("TRANSLATIONS", {"loginPageIntro": 7}, "something else than text"),
        ("TRANSLATIONS", {"loginPageDisclaimer": "no links"}, "must keep {terms} and {privacy}"),
        ("THEME", ["primaryColor"], "is neither a dict"),
        ("FLASH_CATEGORY", 7, "is int, not text"),
    ],
)
def test_values_that_cannot_be_right(app: Flask, name: str, value: object, words: str) -> None:
    (problem,) = _problems(app, **{f"CENTRALAUTH_{name}": value})
    assert problem.startswith(f"CENTRALAUTH_{name}: ")
    assert words in problem


class TestAutologin:
    def test_domains_need_a_key(self, app: Flask) -> None:
        (problem,) = _problems(app, CENTRALAUTH_AUTOLOGIN_DOMAINS=AUTOLOGIN_DOMAINS)
        assert problem.startswith(
            "CENTRALAUTH_AUTOLOGIN_KEY: and CENTRALAUTH_AUTOLOGIN_DOMAINS belong together."
        )

    @pytest.mark.parametrize(
        "other",
        [
            {"SECRET_KEY": AUTOLOGIN_KEY},
            {"SECRET_KEY": AUTOLOGIN_KEY.encode()},
            {"SECRET_KEY_FALLBACKS": [AUTOLOGIN_KEY]},
            {"CENTRALAUTH_CLIENT_SECRET": AUTOLOGIN_KEY},
            {"CENTRALAUTH_CLIENT_SECRETS": [SECRET, AUTOLOGIN_KEY]},
        ],
        ids=str,
    )
    def test_key_is_for_nothing_else(self, app: Flask, other: dict[str, Any]) -> None:
        (problem,) = _problems(
            app,
            CENTRALAUTH_AUTOLOGIN_DOMAINS=AUTOLOGIN_DOMAINS,
            CENTRALAUTH_AUTOLOGIN_KEY=AUTOLOGIN_KEY,
            **other,
        )
        assert problem.startswith("CENTRALAUTH_AUTOLOGIN_KEY: is also another key.")
        assert "sentinel" not in problem

    def test_a_problem_is_told_once(self, app: Flask) -> None:
        (problem,) = _problems(
            app, CENTRALAUTH_AUTOLOGIN_DOMAINS=["*"], CENTRALAUTH_AUTOLOGIN_KEY=AUTOLOGIN_KEY
        )
        assert problem.startswith("CENTRALAUTH_AUTOLOGIN_DOMAINS: ")

    def test_domains_become_origins_and_the_key_is_hidden(self, settings_of: Callable[..., Settings]) -> None:
        domains = ["A.example:443", "http://localhost:5000", "https://b.example:8443", "https://a.example"]
        settings = settings_of(CENTRALAUTH_AUTOLOGIN_DOMAINS=domains, CENTRALAUTH_AUTOLOGIN_KEY=AUTOLOGIN_KEY)
        assert settings.autologin_domains == (
            "https://a.example",
            "http://localhost:5000",
            "https://b.example:8443",
        )
        assert AUTOLOGIN_KEY not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("base_url", "https://CA.example/", "https://ca.example"),
        ("base_url", "http://127.0.0.1:9797", "http://127.0.0.1:9797"),
        ("base_url", "http://localhost:9797/", "http://localhost:9797"),
        ("url_prefix", "/auth/", "/auth"),
        ("timeout", "2.5", 2.5),
        ("user_ttl", 0, 0),
        ("logout_everywhere", "False", False),
        ("allow_blocked", "1", True),
        (
            "return_hosts",
            ["other.example", "http://localhost:3000"],
            ("other.example", "http://localhost:3000"),
        ),
        ("after_login", "pages.home", "pages.home"),
        ("after_logout", "centralauth.logout", "centralauth.logout"),
        ("login_view", None, None),
        ("user_ttl", None, 60),
        ("theme", {"primaryColor": "#123456"}, {"primaryColor": "#123456"}),
    ],
)
def test_values_as_they_are_read(
    settings_of: Callable[..., Settings], name: str, value: object, read: object
) -> None:
    assert getattr(settings_of(**{f"CENTRALAUTH_{name.upper()}": value}), name) == read


def test_the_environment_is_asked_for_what_the_configuration_lacks(
    app: Flask, settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_ORGANIZATION_ID", "from-the-environment")
    monkeypatch.setenv("AUTH_SECRET", "e" * 32)
    monkeypatch.setenv("AUTH_BASE_URL", "https://login.example")
    settings = settings_of()
    assert (settings.client_id, settings.client_secret) == ("organization-1", SECRET)
    assert settings.base_url == "https://login.example"
    # os.environ.get("NOT_SET") in a configuration file.
    app.config["CENTRALAUTH_CLIENT_ID"] = None
    del app.config["CENTRALAUTH_CLIENT_SECRET"]
    settings = load(app)
    assert (settings.client_id, settings.client_secret) == ("from-the-environment", "e" * 32)


def test_prefixed_environment_variables(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {**REQUIRED, "CENTRALAUTH_USER_TTL": "5", "CENTRALAUTH_ALLOW_BLOCKED": "true"}.items():
        monkeypatch.setenv(f"FLASK_{key}", value)
    app.config.from_prefixed_env()
    settings = load(app)
    assert (settings.client_id, settings.user_ttl, settings.allow_blocked) == ("organization-1", 5, True)


def test_the_secret_from_a_file(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_SECRET", "e" * 32)
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n", "utf-8")
    app.config.update(REQUIRED, CENTRALAUTH_CLIENT_SECRET_FILE=str(file))
    del app.config["CENTRALAUTH_CLIENT_SECRET"]
    assert load(app).client_secret == SECRET
    file.unlink()
    with pytest.raises(ConfigurationError, match="CENTRALAUTH_CLIENT_SECRET_FILE cannot be read"):
        load(app)


@pytest.mark.parametrize("value", [f"{SECRET}\n", f" {SECRET}", f'"{SECRET}"', f"'{SECRET}' "])
def test_white_space_and_quotes_are_removed_with_a_warning(
    settings_of: Callable[..., Settings], warnings: Callable[[], str], value: str
) -> None:
    assert settings_of(CENTRALAUTH_CLIENT_SECRET=value).client_secret == SECRET
    assert "CENTRALAUTH_CLIENT_SECRET: white space or quotes" in warnings()
    assert SECRET not in warnings()


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("CENTRALAUTH_CLIENTID", "CENTRALAUTH_CLIENT_ID"),
        ("CENTRALAUTH_USERTTL", "CENTRALAUTH_USER_TTL"),
        ("CENTRALAUTH_CALLBACK_URI", "CENTRALAUTH_CALLBACK_URL"),
    ],
)
def test_unknown_names_get_a_hint(
    settings_of: Callable[..., Settings], warnings: Callable[[], str], key: str, meant: str
) -> None:
    settings_of(**{key: "sentinel"})
    assert f"{key} is not a setting; did you mean {meant}?" in warnings()
    assert "sentinel" not in warnings()


def test_right_settings_are_not_warned_of(app: Flask, warnings: Callable[[], str], tmp_path: Path) -> None:
    app.config.update(
        REQUIRED, CENTRALAUTH_CALLBACK_URL="https://app.example/sub/api/auth/callback", OTHER_EXTENSION="x"
    )
    CentralAuth(app)
    assert warnings() == ""


def test_a_secret_of_an_impossible_length(
    settings_of: Callable[..., Settings], warnings: Callable[[], str]
) -> None:
    settings_of(CENTRALAUTH_CLIENT_SECRET="s" * 31)
    assert "CENTRALAUTH_CLIENT_SECRET has 31 characters" in warnings()


def test_a_short_secret_key(
    app: Flask, settings_of: Callable[..., Settings], warnings: Callable[[], str]
) -> None:
    settings_of(SECRET_KEY="short")
    assert "SECRET_KEY is shorter than 16 bytes" in warnings()


def test_a_short_secret_key_while_developing(
    app: Flask, settings_of: Callable[..., Settings], warnings: Callable[[], str]
) -> None:
    app.debug = True
    settings_of(SECRET_KEY="dev")
    assert warnings() == ""


# Who decides the address of the callback.


def test_in_production_the_host_has_to_be_pinned(
    settings_of: Callable[..., Settings], warnings: Callable[[], str]
) -> None:
    settings_of()
    assert "CENTRALAUTH_CALLBACK_URL" in warnings()
    assert "TRUSTED_HOSTS" in warnings()


@pytest.mark.parametrize(
    "config",
    [
        {"CENTRALAUTH_CALLBACK_URL": "https://app.example/api/auth/callback"},
        {"TRUSTED_HOSTS": [".preview.example.com"]},
        {"SERVER_NAME": "app.example"},
        {"DEBUG": True},
        {"TESTING": True},
    ],
    ids=lambda config: next(iter(config)),
)
def test_a_pinned_host_is_not_warned_of(
    settings_of: Callable[..., Settings], warnings: Callable[[], str], config: dict[str, Any]
) -> None:
    settings_of(**config)
    assert warnings() == ""


def test_a_callback_that_ends_elsewhere(
    settings_of: Callable[..., Settings], warnings: Callable[[], str]
) -> None:
    settings_of(CENTRALAUTH_CALLBACK_URL="https://app.example/callback")
    assert "does not end in /api/auth/callback" in warnings()


# Settings that name a page: known only once the views are registered.


@pytest.mark.parametrize("name", ["LOGIN_VIEW", "AFTER_LOGIN", "AFTER_LOGOUT"])
def test_a_page_that_does_not_exist(app: Flask, caplog: pytest.LogCaptureFixture, name: str) -> None:
    app.config.update(REQUIRED, **{f"CENTRALAUTH_{name}": "sign_inn"})
    CentralAuth(app)

    @app.get("/sign-in")
    def sign_in() -> str:
        return "sign in"

    answer = app.test_client().get("/sign-in")
    assert answer.status_code == 500
    assert f"CENTRALAUTH_{name}: there is no endpoint 'sign_inn'; did you mean sign_in?" in caplog.text


def test_a_login_page_that_needs_a_login(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    from flask_centralauth import auth_required

    app.config.update(REQUIRED, CENTRALAUTH_LOGIN_VIEW="sign_in")
    CentralAuth(app)
    app.add_url_rule("/sign-in", "sign_in", auth_required(lambda: "sign in"))
    app.add_url_rule("/", "home", public(lambda: "home"))
    assert app.test_client().get("/").status_code == 500
    assert "CENTRALAUTH_LOGIN_VIEW: needs a login itself" in caplog.text
