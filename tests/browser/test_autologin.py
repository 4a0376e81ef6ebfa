"""Autologin in a real browser: in hidden frames of CentralAuth's page, as far as browsers let it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from flask import request

from flask_centralauth.emulator import Emulator

from ..autologin_domains import Domain, MakeDomain

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest_plugins = ("tests.autologin_fixtures",)


def sign_in(page: Page, domain: Domain, *, frame: str) -> int:
    """Sign in at a domain; return how the frame with another domain's callback ended.

    The way back waits for the frame, however slow this machine is now.
    """
    framed = threading.Event()

    @domain.app.before_request
    def wait_for_frame() -> None:
        if request.path.endswith("/callback"):
            framed.wait(20)

    page.goto(f"{domain.url}/private")
    with page.expect_response(lambda r: r.url.startswith(frame) and r.status != 302) as ended:
        page.get_by_role("button", name="alice@example.com").click()
    status: int = ended.value.status
    framed.set()
    page.wait_for_url(f"{domain.url}/private")
    assert page.locator("body").inner_text() == "alice@example.com"
    return status


def user_at(page: Page, domain: Domain) -> str | None:
    user = page.goto(f"{domain.url}/api/auth/user").json()  # type: ignore[union-attr]
    return user["email"] if user else None


def test_login_reaches_the_other_domain_of_the_site(
    chromium_page: Page, make_domain: MakeDomain, emulator: Emulator
) -> None:
    shop, blog = make_domain(0), make_domain(1)
    assert sign_in(chromium_page, shop, frame=blog.callback) == 204
    assert user_at(chromium_page, blog) == "alice@example.com"
    assert user_at(chromium_page, shop) == "alice@example.com"


@pytest.mark.parametrize("hosts", [("127.0.0.1", "localhost")])
def test_domain_of_another_site_asks_centralauth_itself(
    chromium_page: Page, hosts: tuple[str, str], make_domain: MakeDomain, emulator: Emulator
) -> None:
    """Browsers keep our cookies out of frames of other sites; a visit signs in without a question."""
    shop, blog = make_domain(0), make_domain(1)
    sign_in(chromium_page, shop, frame=blog.callback)
    assert user_at(chromium_page, blog) is None
    chromium_page.goto(f"{blog.url}/private")
    assert chromium_page.locator("body").inner_text() == "alice@example.com"


@pytest.mark.parametrize("number", [0, 1])
def test_where_it_is_off_at_one_end_nobody_is_carried(
    chromium_page: Page, make_domain: MakeDomain, emulator: Emulator, number: int
) -> None:
    off = {"CENTRALAUTH_AUTOLOGIN_DOMAINS": None, "CENTRALAUTH_AUTOLOGIN_KEY": None}
    shop, blog = (make_domain(one, **(off if one == number else {})) for one in (0, 1))
    sign_in(chromium_page, shop, frame=blog.callback)
    assert user_at(chromium_page, blog) is None
