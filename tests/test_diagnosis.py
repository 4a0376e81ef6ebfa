"""`flask centralauth check` finds each wrong set-up it knows, and nothing in a right one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any, Final

import pytest
from cachelib import FileSystemCache, NullCache, SimpleCache
from flask import Flask, request
from flask_session import Session
from flask_sqlalchemy import SQLAlchemy
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_centralauth import CentralAuth, ServiceUnavailable, auth_required
from flask_centralauth.diagnosis import SECTIONS
from flask_centralauth.emulator import Emulator
from flask_centralauth.engines import EmbeddedEngine
from tests.conftest import RunServer

CALLBACK: Final = "https://app.example/api/auth/callback"

Check = Callable[..., dict[str, "Found"]]


class Found:
    """One finding that is not ok."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self.level: str = members["level"]
        self.text = f"{members['message']} {members['fix']}"
        self.docs: str = members["docs"]


@pytest.fixture
def configured(emulator: Emulator, tmp_path: Path) -> Callable[..., Flask]:
    """`configured(**config)`: an application behind a TLS proxy in which nothing is wrong but `config`."""

    def make(*, proxy: Mapping[str, int] | None = None, **config: Any) -> Flask:
        app = Flask("shop", instance_path=str(tmp_path / "instance"))
        app.config.update(SECRET_KEY="a secret key of the tests, long enough", TESTING=True)
        app.config.update(emulator.config)
        app.config.update(SESSION_COOKIE_NAME="shop_session", CENTRALAUTH_CALLBACK_URL=CALLBACK)
        app.config.update(config)
        trusted = {"x_for": 1, "x_proto": 1, "x_host": 1} if proxy is None else dict(proxy)
        if trusted:
            app.wsgi_app = ProxyFix(app.wsgi_app, **trusted)  # type: ignore[method-assign]
        return app

    return make


@pytest.fixture
def check(configured: Callable[..., Flask]) -> Check:
    """`check(**config)` or `check(app)`: what `flask centralauth check --json` finds not ok, by name.

    An application is expected to be set up already; one made from `config` is set up here.
    """

    def run(app: Flask | None = None, **config: Any) -> dict[str, Found]:
        if app is None:
            app = configured(**config)
            CentralAuth(app)
        answer = app.test_cli_runner().invoke(args=["centralauth", "check", "--json"])
        report = json.loads(answer.stdout)
        found = {
            finding["check"]: Found(finding) for finding in report["findings"] if finding["level"] != "ok"
        }
        failed = any(finding.level == "problem" for finding in found.values())
        assert (answer.exit_code, report["ok"]) == (1 if failed else 0, not failed)
        return found

    return run


def only(found: Mapping[str, Found], check: str, level: str) -> str:
    """The text of the one finding there is."""
    assert {name: finding.level for name, finding in found.items()} == {check: level}
    assert found[check].docs == f"docs/check.md#{check}"
    return found[check].text


def test_a_right_set_up_has_no_findings(check: Check) -> None:
    assert check() == {}


def test_every_check_reports_on_a_right_set_up(configured: Callable[..., Flask]) -> None:
    app = configured()
    CentralAuth(app)
    answer = app.test_cli_runner().invoke(args=["centralauth", "check", "--json"])
    report = json.loads(answer.stdout)
    assert [finding["check"] for finding in report["findings"]] == [
        name for checks in SECTIONS.values() for name in checks
    ]
    assert report["callbackUrl"] == CALLBACK


class TestSettings:
    def test_a_misspelled_setting(self, check: Check) -> None:
        text = only(check(CENTRALAUTH_USERTTL=30), "settings", "warning")
        assert "CENTRALAUTH_USERTTL" in text
        assert "CENTRALAUTH_USER_TTL" in text

    def test_a_short_secret_key_in_production(self, check: Check) -> None:
        found = check(SECRET_KEY="short", TESTING=False)
        assert found["settings"].level == "warning"
        assert "SECRET_KEY" in found["settings"].text

    def test_a_client_secret_that_no_token_can_be_made_with(self, check: Check, emulator: Emulator) -> None:
        found = check(CENTRALAUTH_CLIENT_SECRET=emulator.client_secret[:-1])
        assert found["settings"].level == "warning"
        assert "31 characters" in found["settings"].text
        assert found["credentials"].level == "problem"

    @pytest.mark.parametrize("key", ["LOGIN_VIEW", "AFTER_LOGIN", "AFTER_LOGOUT"])
    def test_an_endpoint_that_does_not_exist(self, check: Check, key: str) -> None:
        text = only(check(**{f"CENTRALAUTH_{key}": "pages.welcome"}), "endpoints", "problem")
        assert f"CENTRALAUTH_{key}" in text
        assert "pages.welcome" in text

    def test_a_sign_in_page_that_needs_a_login(self, check: Check, configured: Callable[..., Flask]) -> None:
        app = configured(CENTRALAUTH_LOGIN_VIEW="welcome")
        CentralAuth(app)
        app.add_url_rule("/welcome", "welcome", auth_required(lambda: "sign in"))
        assert "CENTRALAUTH_LOGIN_VIEW" in only(check(app), "endpoints", "problem")

    def test_a_guard_above_the_route(self, check: Check, configured: Callable[..., Flask]) -> None:
        app = configured()
        CentralAuth(app)

        @auth_required
        @app.get("/accounts")
        def accounts() -> str:
            return "open to everybody"

        assert "accounts" in only(check(app), "open-views", "problem")

    def test_id_tokens_that_are_trusted(self, check: Check) -> None:
        text = only(check(CENTRALAUTH_UNSAFE_LOCAL_ID_TOKEN=True), "local-id-token", "warning")
        assert "CENTRALAUTH_UNSAFE_LOCAL_ID_TOKEN" in text

    def test_every_problem_is_a_finding_of_its_own(self, configured: Callable[..., Flask]) -> None:
        app = configured()
        CentralAuth(app)
        app.config.update(CENTRALAUTH_TIMEOUT=0, SESSION_TYPE="redis", SESSION_REDIS="redis://10.0.0.1")
        answer = app.test_cli_runner().invoke(args=["centralauth", "check", "--json"])
        findings = [one for one in json.loads(answer.stdout)["findings"] if one["check"] == "settings"]
        assert [one["message"].partition(":")[0] for one in findings] == [
            "CENTRALAUTH_TIMEOUT",
            "SESSION_REDIS",
        ]
        assert findings[1]["fix"].startswith("Write redis.Redis.from_url(...)")

    def test_settings_that_were_changed_after_the_start(
        self, check: Check, configured: Callable[..., Flask]
    ) -> None:
        app = configured()
        CentralAuth(app)
        app.config["CENTRALAUTH_TIMEOUT"] = -1
        assert "CENTRALAUTH_TIMEOUT" in only(check(app), "settings", "problem")


class TestSessions:
    def test_flask_session_set_up_too_late(self, check: Check, configured: Callable[..., Flask]) -> None:
        app = configured()
        CentralAuth(app)
        Session(app)
        assert "before CentralAuth(app)" in only(check(app), "session-setup", "problem")

    def test_a_redis_that_is_not_there(self, check: Check) -> None:
        redis = Redis(port=1, retry=Retry(NoBackoff(), 0))
        assert "cannot be used" in only(
            check(SESSION_TYPE="redis", SESSION_REDIS=redis), "session-store", "problem"
        )

    def test_an_instance_folder_nobody_may_write(self, check: Check, tmp_path: Path) -> None:
        (tmp_path / "instance").write_text("a file where the folder should be")
        assert "cannot be used" in only(check(), "session-store", "problem")

    def test_a_store_that_keeps_nothing(self, check: Check) -> None:
        found = check(SESSION_TYPE="cachelib", SESSION_CACHELIB=NullCache())
        assert found["session-store"].level == "problem"
        assert "does not keep" in found["session-store"].text

    def test_a_store_that_deletes_nothing(self, check: Check, tmp_path: Path) -> None:
        class Sticky(FileSystemCache):
            def delete(self, key: str, mgmt_element: bool = False) -> bool:
                return True

        found = check(SESSION_TYPE="cachelib", SESSION_CACHELIB=Sticky(str(tmp_path / "cache")))
        assert found["session-store"].level == "problem"
        assert "does not remove" in found["session-store"].text

    def test_a_store_in_the_memory_of_the_process(self, check: Check) -> None:
        found = check(SESSION_TYPE="cachelib", SESSION_CACHELIB=SimpleCache())
        assert found["store-shared"].level == "problem"
        assert "every worker has its own" in found["store-shared"].text

    def test_an_sql_database_in_a_file_is_right(
        self, check: Check, configured: Callable[..., Flask], tmp_path: Path
    ) -> None:
        app = configured(
            SESSION_TYPE="sqlalchemy", SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'shop.db'}"
        )
        app.config["SESSION_SQLALCHEMY"] = SQLAlchemy(app)
        CentralAuth(app)
        assert check(app) == {}

    def test_a_store_that_writes_over_what_is_there(self, check: Check, tmp_path: Path) -> None:
        class Overwriting(EmbeddedEngine):
            def add(self, key: str, value: bytes, ttl: int) -> bool:
                self.put(key, value, ttl)
                return True

        found = check(SESSION_TYPE="cachelib", SESSION_CACHELIB=Overwriting(tmp_path / "store.sqlite3"))
        assert "used twice" in only(found, "store-atomic", "problem")

    def test_cachelibs_files(self, check: Check, tmp_path: Path) -> None:
        found = check(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(str(tmp_path / "cache")))
        assert {name: finding.level for name, finding in found.items()} == {
            "session-setup": "warning",
            "store-atomic": "warning",
        }
        assert "FileSystemCache is for development" in found["session-setup"].text

    def test_an_old_session_id_that_stays_alive(self, check: Check, tmp_path: Path) -> None:
        class Forgetful(EmbeddedEngine):
            def delete(self, key: str) -> bool:
                return super().delete(key) if key.startswith("centralauth:check") else True

        found = check(SESSION_TYPE="cachelib", SESSION_CACHELIB=Forgetful(tmp_path / "store.sqlite3"))
        assert "stays alive" in only(found, "session-rotation", "problem")

    def test_a_store_that_fails_in_between(self, check: Check, tmp_path: Path) -> None:
        class Failing(EmbeddedEngine):
            def delete(self, key: str) -> bool:
                if key.startswith("centralauth:check"):
                    return super().delete(key)
                raise ServiceUnavailable

        found = check(SESSION_TYPE="cachelib", SESSION_CACHELIB=Failing(tmp_path / "store.sqlite3"))
        only(found, "session-rotation", "problem")

    def test_nothing_is_left_in_the_store(self, check: Check, tmp_path: Path) -> None:
        cache = FileSystemCache(str(tmp_path / "cache"))
        check(SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)
        # cachelib keeps a file with the number of its entries.
        assert len(list((tmp_path / "cache").iterdir())) == 1


class TestCookies:
    def test_secure_on_http(self, check: Check) -> None:
        found = check(
            CENTRALAUTH_CALLBACK_URL="http://localhost:5000/api/auth/callback", SESSION_COOKIE_SECURE=True
        )
        assert "SESSION_COOKIE_SECURE" in only(found, "cookie-secure", "problem")

    def test_secure_with_the_development_server(self, check: Check) -> None:
        found = check(CENTRALAUTH_CALLBACK_URL=None, SESSION_COOKIE_SECURE=True)
        assert found["cookie-secure"].level == "problem"

    def test_not_secure_on_https(self, check: Check, configured: Callable[..., Flask]) -> None:
        app = configured()
        CentralAuth(app)
        app.config["SESSION_COOKIE_SECURE"] = False
        assert "also travels over http" in only(check(app), "cookie-secure", "warning")

    def test_samesite_none_without_secure(self, check: Check) -> None:
        found = check(
            CENTRALAUTH_CALLBACK_URL="http://localhost:5000/api/auth/callback",
            SESSION_COOKIE_SAMESITE="None",
        )
        assert "browsers drop such a cookie" in only(found, "cookie-samesite", "problem")

    def test_samesite_none(self, check: Check) -> None:
        assert "other sites" in only(check(SESSION_COOKIE_SAMESITE="None"), "cookie-samesite", "warning")

    def test_samesite_strict(self, check: Check) -> None:
        assert "Lax" in only(check(SESSION_COOKIE_SAMESITE="Strict"), "cookie-samesite", "problem")

    @pytest.mark.parametrize("domain", ["other.example", "app.example.com", "pp.example"])
    def test_a_domain_that_the_callback_is_not_in(self, check: Check, domain: str) -> None:
        text = only(check(SESSION_COOKIE_DOMAIN=domain), "cookie-scope", "problem")
        assert f"SESSION_COOKIE_DOMAIN is {domain}" in text

    @pytest.mark.parametrize("domain", ["app.example", ".app.example", "example"])
    def test_a_domain_that_the_callback_is_in(self, check: Check, domain: str) -> None:
        assert check(SESSION_COOKIE_DOMAIN=domain) == {}

    def test_a_path_that_does_not_cover_the_callback(self, check: Check) -> None:
        assert "SESSION_COOKIE_PATH" in only(check(SESSION_COOKIE_PATH="/api/a"), "cookie-scope", "problem")

    def test_a_path_that_covers_the_callback(self, check: Check) -> None:
        assert check(SESSION_COOKIE_PATH="/api") == {}

    def test_the_domain_of_this_machine(self, check: Check) -> None:
        found = check(
            CENTRALAUTH_CALLBACK_URL="http://localhost:5000/api/auth/callback",
            SESSION_COOKIE_DOMAIN="localhost",
        )
        only(found, "cookie-scope", "warning")

    def test_readable_by_scripts(self, check: Check) -> None:
        assert "SESSION_COOKIE_HTTPONLY" in only(
            check(SESSION_COOKIE_HTTPONLY=False), "cookie-httponly", "warning"
        )

    def test_the_name_every_flask_application_has(self, check: Check) -> None:
        assert "SESSION_COOKIE_NAME" in only(check(SESSION_COOKIE_NAME="session"), "cookie-name", "warning")


class TestAddresses:
    def test_a_callback_url_made_from_the_host_header(self, check: Check) -> None:
        found = check(CENTRALAUTH_CALLBACK_URL=None, SESSION_COOKIE_SECURE=True, TESTING=False)
        assert found["callback-url"].level == "unknown"
        assert found["settings"].level == "warning"
        assert "CENTRALAUTH_CALLBACK_URL" in found["settings"].text
        assert "TRUSTED_HOSTS" in found["settings"].text

    @pytest.mark.parametrize("setting", [{"TRUSTED_HOSTS": ["app.example"]}, {"SERVER_NAME": "app.example"}])
    def test_hosts_that_are_fixed_otherwise(self, check: Check, setting: dict[str, Any]) -> None:
        found = check(CENTRALAUTH_CALLBACK_URL=None, SESSION_COOKIE_SECURE=True, TESTING=False, **setting)
        assert "callback-url" not in found

    def test_a_callback_url_that_is_not_the_route(self, check: Check) -> None:
        found = check(CENTRALAUTH_CALLBACK_URL="https://app.example/auth/callback")
        assert "/api/auth/callback" in only(found, "settings", "warning")

    def test_a_callback_url_below_a_mount_point_is_right(self, check: Check) -> None:
        assert check(CENTRALAUTH_CALLBACK_URL="https://app.example/shop/api/auth/callback") == {}

    def test_a_callback_url_over_http(self, check: Check) -> None:
        found = check(CENTRALAUTH_CALLBACK_URL="http://app.example/api/auth/callback")
        assert "https" in only(found, "callback-url", "problem")

    @pytest.mark.parametrize(
        ("callback_url", "domains", "level"),
        [
            ("https://app.example/api/auth/callback", ["app.example", "b.example"], None),
            ("https://app.example/api/auth/callback", ["a.example", "b.example"], "problem"),
            (None, ["app.example", "b.example"], "unknown"),
        ],
    )
    def test_domains_of_autologin(
        self, check: Check, callback_url: str | None, domains: list[str], level: str | None
    ) -> None:
        found = check(
            CENTRALAUTH_CALLBACK_URL=callback_url,
            CENTRALAUTH_AUTOLOGIN_DOMAINS=domains,
            CENTRALAUTH_AUTOLOGIN_KEY="a-key-of-the-tests-0123456789-abcdefgh",
        )
        assert (found["autologin"].level if "autologin" in found else None) == level

    def test_no_proxy_fix_in_production(self, check: Check) -> None:
        found = check(proxy={}, TESTING=False)
        assert found["proxy"].level == "warning"
        assert "ProxyFix(app.wsgi_app" in found["proxy"].text

    def test_no_proxy_fix_in_development_is_right(self, check: Check) -> None:
        assert check(proxy={}) == {}

    def test_a_proxy_fix_without_the_client_address(self, check: Check) -> None:
        assert "x_for" in only(check(proxy={"x_for": 0, "x_proto": 1, "x_host": 1}), "proxy", "warning")

    def test_a_proxy_fix_without_the_host(self, check: Check) -> None:
        found = check(proxy={"x_for": 1, "x_proto": 1}, CENTRALAUTH_CALLBACK_URL=None)
        assert found["proxy"].level == "warning"
        assert "x_host=1" in found["proxy"].text

    def test_a_proxy_fix_below_another_middleware(
        self, check: Check, configured: Callable[..., Flask]
    ) -> None:
        class Middleware:
            def __init__(self, app: Any) -> None:
                self.app = app

        app = configured(TESTING=False)
        app.wsgi_app = Middleware(app.wsgi_app)  # type: ignore[method-assign,assignment]
        CentralAuth(app)
        assert "proxy" not in check(app)


class TestCentralAuth:
    def test_it_is_not_there(self, check: Check) -> None:
        text = only(check(CENTRALAUTH_BASE_URL="http://127.0.0.1:1"), "reachable", "problem")
        assert "http://127.0.0.1:1" in text

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_it_is_in_trouble(self, check: Check, emulator: Emulator, status: int) -> None:
        emulator.fail("discovery", status=status)
        assert str(status) in only(check(), "reachable", "problem")

    def test_it_is_something_else(self, check: Check, live_server: RunServer) -> None:
        asked: list[str] = []
        something_else = Flask("something_else")
        something_else.before_request(lambda: asked.append(request.path))
        found = check(CENTRALAUTH_BASE_URL=live_server(something_else).url)
        assert "CENTRALAUTH_BASE_URL" in only(found, "discovery", "problem")
        assert asked == ["/.well-known/openid-configuration"]

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
    def test_its_discovery_document_is_none(self, check: Check, emulator: Emulator, body: bytes) -> None:
        emulator.fail("discovery", body=body)
        only(check(), "discovery", "problem")

    def test_its_login_page_is_elsewhere(self, check: Check, emulator: Emulator) -> None:
        emulator.fail("discovery", patch={"authorization_endpoint": "https://login.app.example/login"})
        text = only(check(), "discovery", "warning")
        assert "CENTRALAUTH_BASE_URL = 'https://login.app.example'" in text

    @pytest.mark.parametrize(("seconds", "direction"), [(-300, "ahead of"), (300, "behind")])
    def test_the_clocks_differ(self, check: Check, emulator: Emulator, seconds: int, direction: str) -> None:
        emulator.fail("discovery", header={"Date": formatdate(time() + seconds, usegmt=True)})
        assert direction in only(check(), "clock", "problem")

    def test_the_clocks_agree(self, check: Check, emulator: Emulator) -> None:
        emulator.fail("discovery", header={"Date": formatdate(time() - 5, usegmt=True)})
        assert check() == {}

    def test_it_has_no_date(self, check: Check, emulator: Emulator) -> None:
        document = {"authorization_endpoint": f"{emulator.url}/login"}
        emulator.fail("discovery", json=document)
        only(check(), "clock", "unknown")

    def test_an_emulator_in_production(self, check: Check) -> None:
        found = check(TESTING=False)
        assert "emulator" in only(found, "emulator", "problem")

    def test_a_wrong_secret(self, check: Check) -> None:
        found = check(CENTRALAUTH_CLIENT_SECRET="0" * 32)
        text = only(found, "credentials", "problem")
        assert "CENTRALAUTH_CLIENT_SECRET" in text
        assert "0" * 32 not in text

    def test_a_wrong_id(self, check: Check) -> None:
        only(check(CENTRALAUTH_CLIENT_ID="nobody"), "credentials", "problem")

    def test_a_secret_that_was_replaced(
        self, check: Check, configured: Callable[..., Flask], emulator: Emulator
    ) -> None:
        app = configured()
        CentralAuth(app)
        emulator.rotate_secret()
        assert "newer secret" in only(check(app), "credentials", "problem")

    @pytest.mark.parametrize("how", [{"status": 503}, {"error_code": "tooManyRequests", "status": 429}])
    def test_it_does_not_say_whether_the_secret_is_right(
        self, check: Check, emulator: Emulator, how: dict[str, Any]
    ) -> None:
        emulator.fail("userinfo", **how)
        found = check()
        assert found["credentials"].level == "unknown"

    def test_a_refused_domain_says_nothing_against_the_secret(self, check: Check, emulator: Emulator) -> None:
        emulator.fail("userinfo", error_code="domainInvalid")
        assert "credentials" not in check()

    def test_the_callback_is_not_on_the_whitelist(self, check: Check, emulator: Emulator) -> None:
        emulator.configure(whitelist=["https://other.example"])
        text = only(check(), "whitelist", "problem")
        assert CALLBACK in text
        assert "callbackUrlInvalid" in text

    def test_the_referrer_is_sent_for_services_that_check_it(self, check: Check, emulator: Emulator) -> None:
        emulator.configure(whitelist=["https://app.example"], check_referrer=True)
        assert check() == {}

    def test_it_sends_the_callback_back_with_an_error(self, check: Check, emulator: Emulator) -> None:
        emulator.next_login(error="connectionMissing")
        assert "connectionMissing" in only(check(), "whitelist", "problem")

    def test_it_logs_somebody_in_at_once(self, check: Check, emulator: Emulator) -> None:
        emulator.autologin("alice@example.com")
        assert check() == {}

    def test_its_login_page_refuses_without_a_reason(self, check: Check, emulator: Emulator) -> None:
        emulator.fail("login", status=403)
        assert "403" in only(check(), "whitelist", "unknown")

    def test_its_login_page_does_not_answer(self, check: Check, emulator: Emulator) -> None:
        emulator.fail("login", action="close")
        only(check(), "whitelist", "unknown")

    def test_texts_that_the_application_cannot_make(self, check: Check) -> None:
        def fail() -> dict[str, str]:
            raise LookupError

        assert "LookupError" in only(check(CENTRALAUTH_TRANSLATIONS=fail), "whitelist", "unknown")

    def test_the_callback_is_known_in_a_request_only(self, check: Check) -> None:
        only(check(CENTRALAUTH_CALLBACK_URL=None), "whitelist", "unknown")
