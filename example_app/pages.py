"""The pages: one for everybody, one for users, and an answer for scripts."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from flask_centralauth import auth_required, current_user

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
