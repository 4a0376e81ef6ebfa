"""The pages: one for everybody, one for users, an answer for scripts, and a form of our own to sign in."""

from __future__ import annotations

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from flask_centralauth import EntityError, auth_required, current_user

from .extensions import centralauth

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def home() -> ResponseReturnValue:
    return render_template("home.html")


@blueprint.get("/profile")
@auth_required
def profile() -> ResponseReturnValue:
    return render_template("profile.html")


@blueprint.get("/greeting")
@auth_required
def greeting() -> ResponseReturnValue:
    return {"greeting": f"Hello {current_user.email}!"}


@blueprint.post("/mail-me-a-link")
def mail_me_a_link() -> ResponseReturnValue:
    # No token against posts from other sites is needed: CentralAuth's extension refuses them.
    try:
        centralauth.authenticate_direct(request.form.get("email", ""), return_to=url_for(".profile"))
    except EntityError as mistake:
        flash(mistake.public_message, "error")
        return redirect(url_for(".home"), 303)
    return redirect(url_for(".mail_sent"), 303)


@blueprint.get("/mail-sent")
def mail_sent() -> ResponseReturnValue:
    # The same for everybody: it must not tell who has an account.
    mailbox = f"{current_app.config['CENTRALAUTH_BASE_URL']}/_emulator/ui/mailbox"
    return render_template("mail_sent.html", mailbox=mailbox if current_app.debug else None)
