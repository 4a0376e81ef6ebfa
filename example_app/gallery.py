"""The error gallery: makes CentralAuth answer each error once. In debug mode only.

It talks to the control interface of the emulator; the real CentralAuth has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

blueprint = Blueprint("gallery", __name__, url_prefix="/errors")

CONTROL_HEADERS = {"X-Emulator-Control": "1"}


@dataclass(frozen=True)
class Section:
    """Errors that end alike, and where CentralAuth answers them.

    ``at`` is ``login`` (the way back from its login page), ``verify`` (our exchange of the
    code) or ``userinfo`` (the check of a signed-in user).
    """

    title: str
    outcome: str
    at: str
    names: str

    @property
    def errors(self) -> list[str]:
        return self.names.split()


SECTIONS = (
    Section(
        "A login that fails",
        "Back to the login page, which shows the message. The second time in a row: a page of our own.",
        "login",
        """genericError loginAttemptMissing loginAttemptExpired loginAttemptInvalid passkeyDataMissing
        passkeyDataExpired passkeyDataInvalid passkeyWrongOrganization captchaInvalid stateMissing
        stateInvalid codeChallengeMissing codeChallengeInvalid access_denied somethingNobodyKnows""",
    ),
    Section(
        "A session that ends",
        "Signed out here, told so, asked to sign in, and back on the same page.",
        "userinfo",
        """sessionMissing sessionNotVerified sessionExpired sessionInactive sessionInvalid tokenInvalid
        tokenMissing""",
    ),
    Section(
        "A person who may not",
        "A page with “use another account”. Never a redirect.",
        "login",
        "noPermission",
    ),
    Section(
        "A mistake in the set-up",
        "A page that does not ask to try again. The hint is for you: here in debug mode, else in the log.",
        "login",
        """organizationIdMissing callbackUrlMissing callbackUrlInvalid domainInvalid connectionMissing
        missingFields""",
    ),
    Section(
        "CentralAuth in trouble, during a login",
        "A page with “try again”. And noPermission here means that our own secret is wrong.",
        "verify",
        "tooManyRequests 500 503 noPermission",
    ),
    Section(
        "CentralAuth in trouble, while signed in",
        "You stay signed in, as CentralAuth knew you last.",
        "userinfo",
        "tooManyRequests genericError 503",
    ),
    Section(
        "Things that do not exist",
        "A page with what CentralAuth says.",
        "login",
        "entityMissing entityInvalid",
    ),
)


@blueprint.get("")
def show() -> ResponseReturnValue:
    return render_template("gallery.html", sections=SECTIONS)


@blueprint.post("")
def cause() -> ResponseReturnValue:
    error, at = request.form.get("error"), request.form.get("at")
    if not any(section.at == at and error in section.errors for section in SECTIONS):
        abort(400)
    try:
        _control("DELETE", "faults")
        if at == "login":
            _control("POST", "next", {"deny": True} if error == "access_denied" else {"error": error})
        else:
            _control("POST", "faults", {"endpoint": at, **_fault(str(error))})
        if at == "verify":
            _control("POST", "next", {"user": "alice@example.com"})
    except requests.RequestException:
        flash("The gallery needs the emulator: start the example with ./example_app/run.", "error")
        return redirect(url_for(".show"))
    profile = url_for("pages.profile")
    return redirect(profile if at == "userinfo" else url_for("centralauth.login", return_to=profile))


def _fault(error: str) -> Mapping[str, Any]:
    return {"status": int(error)} if error.isdigit() else {"error_code": error}


def _control(method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
    url = f"{current_app.config['CENTRALAUTH_BASE_URL']}/_emulator/{path}"
    requests.request(method, url, json=body, headers=CONTROL_HEADERS, timeout=5).raise_for_status()
