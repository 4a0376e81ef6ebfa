"""Guards of two `CentralAuth` objects on one page: each of them is asked, and known to be."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

import pytest

from flask_centralauth import auth_required, current_user
from flask_centralauth.testing import login_as

from .organizations_site import MakeSite, Site

pytest_plugins = ("tests.organizations_fixtures",)


@pytest.mark.parametrize("prefix", ["/api/auth", "/api/auth/staff"])
def test_signing_out_of_either_does_not_lead_to_the_page_of_both(make_pair: MakeSite, prefix: str) -> None:
    """CentralAuth would sign the person in again at once, without a question."""
    pair = make_pair(CENTRALAUTH_AFTER_LOGOUT="/both", STAFF_CENTRALAUTH_AFTER_LOGOUT="/both")
    pair.both()
    assert urlsplit(pair.sign_out(prefix).url).path == f"{prefix}/logout"


def test_a_page_is_about_its_guards_user_at_every_visit(pair: Site) -> None:
    """From the second on, guards let in by what the process remembers."""
    pair.app.add_url_rule("/desk", "desk", pair.staff.auth_required(lambda: str(current_user.email)))
    pair.both()
    tab = pair.shop_tab.tab()
    for _ in range(3):
        page = tab.fetch(f"{pair.server.url}/both").json()
        assert page == {"inner": "alice@example.com", "staff": "olga@office.example"}
        assert tab.fetch(f"{pair.server.url}/desk").text == "olga@office.example"


class TestAboveTheRoute:
    """There a guard is never asked; that another one is asked below does not make up for it."""

    @pytest.mark.parametrize("path", ["/office/safe", "/"])
    def test_is_an_error(self, pair: Site, path: str) -> None:
        app, staff = pair.app, pair.staff

        @staff.auth_required
        @app.get("/office/safe")
        @auth_required
        def safe() -> str:
            return "SECRET"

        client = app.test_client()
        login_as(client, "alice@example.com")
        with pytest.raises(RuntimeError, match=r"stands above @app.route for safe"):
            client.get(path)

    def test_is_an_error_with_other_demands(self, pair: Site) -> None:
        app = pair.app

        @auth_required(verified=True)
        @app.get("/office/safe")
        @auth_required
        def safe() -> str:
            return "SECRET"

        with pytest.raises(RuntimeError, match=r"stands above @app.route for safe"):
            app.test_client().get("/")

    def test_is_none_where_one_page_has_both_and_another_one(self, pair: Site) -> None:
        def page() -> str:
            return "page"

        def logged(view: Callable[..., Any]) -> Callable[..., Any]:
            return wraps(view)(lambda: view())

        of_customers = auth_required(page)
        # As a factory does that is called again.
        pair.staff.auth_required(of_customers)
        of_both = pair.staff.auth_required(of_customers)
        pair.app.add_url_rule("/page/customers", "page_of_customers", of_customers)
        pair.app.add_url_rule("/page/both", "page_of_both", logged(of_both))
        client = pair.app.test_client()
        login_as(client, "alice@example.com")
        assert client.get("/page/customers").text == "page"
        assert client.get("/page/both").status_code == 401
