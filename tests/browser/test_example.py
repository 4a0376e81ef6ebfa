"""The example in a real browser: what a person does, and what every page looks like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_centralauth import PermissionDenied, auth_required, current_user
from flask_centralauth.emulator import Emulator
from flask_centralauth.errors import error_row

from ..conftest import LiveServer, MakeApp, RunServer
from ..test_example_app import make_example

if TYPE_CHECKING:
    from playwright.sync_api import Page

Screenshot = Callable[[str], Path]
LOOKS = ("light", "dark", "phone")


@pytest.fixture
def example(emulator: Emulator, tmp_path: Path, live_server: RunServer) -> LiveServer:
    return live_server(make_example(emulator, tmp_path / "sessions"))


@pytest.fixture
def outside(chromium_page: Page, emulator: Emulator, example: LiveServer) -> list[str]:
    """Addresses the pages asked for beyond the example and the emulator, and what their CSP refused."""
    found: list[str] = []
    chromium_page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((example.url, emulator.url, "data:"))
            else found.append(request.url)
        ),
    )
    chromium_page.on(
        "console",
        lambda message: found.append(message.text) if "Content Security Policy" in message.text else None,
    )
    return found


def test_sign_in_see_the_profile_sign_out(
    chromium_page: Page, example: LiveServer, screenshot: Screenshot, outside: list[str]
) -> None:
    page = chromium_page
    page.goto(example.url)
    screenshot("example-home-signed-out")

    page.get_by_role("link", name="Sign in with CentralAuth").click()
    screenshot("example-login-at-the-emulator")
    page.get_by_role("button", name="alice@example.com").click()
    page.get_by_role("heading", name="Hello, alice@example.com").wait_for()
    screenshot("example-home-signed-in")

    page.get_by_role("link", name="See your profile").click()
    page.get_by_role("heading", name="alice@example.com").wait_for()
    page.wait_for_function("document.querySelector('.who img').naturalWidth > 0")
    screenshot("example-profile")

    page.locator("main").get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in with CentralAuth").wait_for()
    assert page.url == f"{example.url}/"
    page.goto(f"{example.url}/profile")
    page.get_by_role("button", name="bob@example.com").wait_for()
    assert outside == []


def test_link_of_a_mail_signs_in(
    chromium_page: Page, example: LiveServer, emulator: Emulator, outside: list[str]
) -> None:
    page = chromium_page
    page.goto(example.url)
    page.get_by_label("Or by a link in a mail:").fill("bob@example.com")
    page.get_by_role("button", name="Mail me a link").click()
    page.get_by_role("link", name="Open its mailbox").click()
    page.locator(f'a[href="{emulator.mailbox.latest("bob@example.com").link}"]').first.click()
    page.get_by_role("heading", name="bob@example.com").wait_for()
    assert page.url == f"{example.url}/profile"
    assert outside == []


def test_script_shows_where_to_sign_in_and_comes_back(chromium_page: Page, example: LiveServer) -> None:
    page = chromium_page
    page.goto(example.url)
    page.get_by_role("button", name="Fetch").click()
    page.locator(".answer", has_text="401: Please sign in.").wait_for()

    page.locator(".answer").get_by_role("link", name="Sign in").click()
    page.get_by_role("button", name="alice@example.com").click()
    # Loaded whole: a button whose script is still on its way does nothing.
    page.wait_for_url(f"{example.url}/")
    page.get_by_role("button", name="Fetch").click()
    page.locator(".answer", has_text="200: Hello alice@example.com!").wait_for()


def test_failing_login_shows_its_message_and_the_second_time_a_page(
    chromium_page: Page, emulator: Emulator, example: LiveServer, outside: list[str]
) -> None:
    page = chromium_page
    sentence = "The captcha was not solved. Please try again."
    page.goto(f"{example.url}/profile")
    for _ in range(2):
        assert page.url.startswith(emulator.url)
        page.get_by_label("Error code").select_option("captchaInvalid")
        page.get_by_role("button", name="Return an error").click()
        page.get_by_text(sentence).first.wait_for()
    assert page.url.startswith(example.url)

    page.get_by_role("link", name="Try again").click()
    page.get_by_role("button", name="alice@example.com").click()
    page.get_by_role("heading", name="alice@example.com").wait_for()
    assert not page.get_by_text(sentence).count()
    assert outside == []


def test_blocked_person_can_use_another_account(
    chromium_page: Page, example: LiveServer, outside: list[str]
) -> None:
    page = chromium_page
    page.goto(f"{example.url}/profile")
    page.get_by_role("button", name="blocked@example.com").click()
    page.get_by_text("This account is blocked here.").wait_for()

    page.locator("main").get_by_text("Use another account").click()
    page.get_by_role("button", name="bob@example.com").click()
    page.get_by_role("heading", name="bob@example.com").wait_for()
    assert outside == []


def test_person_refused_by_a_view_can_use_another_account(
    chromium_page: Page, make_app: MakeApp, live_server: RunServer
) -> None:
    page = chromium_page
    page.set_default_timeout(3_000)
    app = make_app()

    @app.get("/board")
    @auth_required
    def board() -> str:
        if current_user.email != "bob@example.com":
            raise PermissionDenied()
        return "<h1>Board</h1>"

    page.goto(f"{live_server(app).url}/board")
    page.get_by_role("button", name="alice@example.com").click()
    page.get_by_role("button", name="Use another account").click()
    page.get_by_role("button", name="bob@example.com").click()
    page.get_by_role("heading", name="Board").wait_for()


def test_sign_out_page_posts(chromium_page: Page, example: LiveServer, outside: list[str]) -> None:
    page = chromium_page
    page.goto(f"{example.url}/profile")
    page.get_by_role("button", name="alice@example.com").click()
    page.goto(f"{example.url}/api/auth/logout?return_to=/")
    page.get_by_role("heading", name="Sign out?").wait_for()

    page.locator("main").get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in with CentralAuth").wait_for()
    assert outside == []


def look_like(page: Page, look: str) -> None:
    """Show pages ``light``, ``dark`` or on a ``phone``."""
    page.emulate_media(color_scheme="dark" if look == "dark" else "light")
    page.set_viewport_size({"width": 360 if look == "phone" else 1100, "height": 760})


def fits(page: Page) -> bool:
    # After the layout that a picture still may change.
    page.wait_for_load_state("networkidle")
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_in_light_dark_and_on_a_phone(
    chromium_page: Page,
    emulator: Emulator,
    example: LiveServer,
    screenshot: Screenshot,
    outside: list[str],
    look: str,
) -> None:
    page = chromium_page
    look_like(page, look)

    def shoot(name: str) -> None:
        assert fits(page), f"{name} is wider than the screen"
        screenshot(f"example-{name}-{look}")

    def cause(button: str, section: str) -> None:
        page.goto(f"{example.url}/errors")
        page.get_by_role("region", name=section, exact=True).get_by_role(
            "button", name=button, exact=True
        ).click()

    page.goto(example.url)
    shoot("home")
    page.get_by_label("Or by a link in a mail:").fill("alice@example.com")
    page.get_by_role("button", name="Mail me a link").click()
    page.get_by_role("heading", name="Look into your mailbox").wait_for()
    shoot("mail-sent")
    page.goto(f"{example.url}/errors")
    shoot("errors")
    for code, section in (
        ("noPermission", "A person who may not"),
        ("callbackUrlInvalid", "A mistake in the set-up"),
        ("tooManyRequests", "CentralAuth in trouble, during a login"),
        ("503", "CentralAuth in trouble, during a login"),
        ("entityMissing", "Things that do not exist"),
    ):
        cause(code, section)
        page.locator(".centralauth-incident").wait_for()
        shoot(f"error-{code}")
    for _ in range(2):
        cause("loginAttemptInvalid", "A login that fails")
        page.get_by_text("Signing in did not work. Please try again.").first.wait_for()
    shoot("error-loginAttemptInvalid")
    page.goto(f"{example.url}/profile")
    page.get_by_role("button", name="alice@example.com").click()
    page.get_by_role("heading", name="alice@example.com").wait_for()
    shoot("profile")
    page.goto(f"{example.url}/api/auth/logout")
    shoot("logout")
    assert outside == []


@pytest.mark.parametrize("look", LOOKS)
def test_built_in_pages_of_an_application_without_templates(
    chromium_page: Page,
    make_app: MakeApp,
    live_server: RunServer,
    screenshot: Screenshot,
    look: str,
) -> None:
    page = chromium_page
    look_like(page, look)
    app = make_app()

    @app.get("/fail/<code>")
    def fail(code: str) -> str:
        raise error_row(code).family(code, retry_after=30)

    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Policy" in message.text else None)
    server = live_server(app)
    codes = "noPermission userNotVerified callbackUrlInvalid tooManyRequests networkError entityMissing"
    addresses = {code: f"/fail/{code}" for code in [*codes.split(), "crossSiteRequest"]}
    # A failed login goes back to login: its page is what an unvouched callback gets.
    addresses["stateInvalid"] = "/api/auth/callback?code=x&state=y"
    for code, address in addresses.items():
        page.goto(server.url + address)
        page.get_by_text("If you ask for help, mention this reference:").wait_for()
        assert page.locator("h1").evaluate("heading => getComputedStyle(heading).fontWeight") == "700"
        assert fits(page)
        screenshot(f"page-{code}-{look}")
    app.debug = True
    page.goto(f"{server.url}/fail/callbackUrlInvalid")
    screenshot(f"page-callbackUrlInvalid-debug-{look}")
    page.goto(f"{server.url}/api/auth/logout")
    screenshot(f"page-logout-{look}")
    assert refused == []
