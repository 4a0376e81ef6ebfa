"""Checks of the addresses people and CentralAuth know the application by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from ..redirects import origin_of
from ..setting_checks import is_loopback
from ..state import State
from .findings import Finding, Setup, ok, problem, unknown, warning


def known_callback_url(app: Flask, state: State) -> str | None:
    """Return the redirect URI as far as it does not depend on a request."""
    configured = state.settings.callback_url
    if configured is not None:
        return configured
    with app.app_context():
        try:
            # Works outside a request with SERVER_NAME only.
            url = state.url_for("callback", _external=True)
        except RuntimeError:
            return None
    # The scheme will be the request's; what people reach over http is only ever this machine.
    local = is_loopback(urlsplit(url).hostname)
    return url if local else url.replace("http:", "https:", 1)


def check_addresses(setup: Setup) -> Iterator[Finding]:
    """Look at the callback URL, at the proxy in front and at the domains of autologin."""
    yield _callback(setup)
    yield _proxy(setup)
    yield _autologin(setup)


def _callback(setup: Setup) -> Finding:
    route = f"{setup.state.settings.url_prefix}/callback"
    if setup.callback_url is None:
        return _callback_from_request(setup, route)
    url = urlsplit(setup.callback_url)
    if url.scheme == "http" and not is_loopback(url.hostname):
        return problem(
            "callback-url",
            f"The callback URL is {setup.callback_url}: anybody on the way can read what is sent over http.",
            "Serve the application over https and set CENTRALAUTH_CALLBACK_URL to that address.",
        )
    return ok("callback-url", f"Register at CentralAuth: {setup.callback_url}")


def _callback_from_request(setup: Setup, route: str) -> Finding:
    with setup.app.test_request_context() as context:
        trusted_hosts = context.request.trusted_hosts
    if trusted_hosts:
        return ok("callback-url", f"Register at CentralAuth: https://{trusted_hosts[0].lstrip('.')}{route}")
    if setup.in_development:
        return ok("callback-url", f"Built from the request. With flask run: http://localhost:5000{route}")
    return unknown(
        "callback-url",
        "It is built from each request, so the address to register cannot be told.",
        "Set CENTRALAUTH_CALLBACK_URL.",
    )


def _proxy(setup: Setup) -> Finding:
    proxy_fix = _proxy_fix(setup.app)
    scheme = urlsplit(setup.callback_url or "").scheme
    if proxy_fix is None:
        if setup.in_development or scheme == "http":
            return ok("proxy", "No ProxyFix: right when no proxy is in front.")
        return warning(
            "proxy",
            "There is no ProxyFix around app.wsgi_app. Behind a proxy every visitor has the proxy's address, "
            "so CentralAuth's hijack protection protects nobody.",
            "Behind one proxy: app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1). "
            "Without a proxy there is nothing to do.",
        )
    trusted = {name: getattr(proxy_fix, name) for name in ("x_for", "x_proto", "x_host", "x_prefix")}
    if not trusted["x_for"]:
        return warning(
            "proxy",
            "ProxyFix does not take the client address (x_for=0): every visitor has the proxy's address.",
            "Set x_for to the number of proxies in front.",
        )
    if setup.callback_url is None and not (trusted["x_proto"] and trusted["x_host"]):
        return warning(
            "proxy",
            "ProxyFix does not take scheme and host from the proxy, and the callback URL is built from them.",
            "Add x_proto=1 and x_host=1 to ProxyFix, or set CENTRALAUTH_CALLBACK_URL.",
        )
    counts = ", ".join(f"{name}={count}" for name, count in trusted.items())
    return ok("proxy", f"ProxyFix trusts {counts}.")


def _autologin(setup: Setup) -> Finding:
    domains = setup.state.settings.autologin_domains
    if not domains:
        return ok("autologin", "Logins are not shared between domains (autologin is off).")
    if setup.callback_url is None:
        return unknown(
            "autologin",
            "Which of the domains this is cannot be told: the callback URL is only known inside a request.",
            "Set CENTRALAUTH_CALLBACK_URL, unless this application is several of them.",
        )
    here = origin_of(setup.callback_url)
    if here not in domains:
        return problem(
            "autologin",
            f"{here} is not in CENTRALAUTH_AUTOLOGIN_DOMAINS, so nothing is carried from here or to here.",
            "Add it to the list, at every domain.",
        )
    return ok(
        "autologin", f"Logins are shared with {', '.join(domain for domain in domains if domain != here)}."
    )


def _proxy_fix(app: Flask) -> ProxyFix | None:
    """Return the ProxyFix among the middlewares around the application."""
    layer: Any = app.wsgi_app
    while layer is not None:
        if isinstance(layer, ProxyFix):
            return layer
        layer = getattr(layer, "app", None) or getattr(layer, "wsgi_app", None)
    return None
