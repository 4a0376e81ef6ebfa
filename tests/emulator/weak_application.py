"""An application with every mistake in it: what the check command must find."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import requests
from flask import Flask, redirect, request, session
from werkzeug.wrappers import Response

from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.code_exchange import s256


def weak_app(emulator: Emulator) -> Flask:
    """Return an application that trusts whatever it is sent."""
    app = Flask("weak")
    app.secret_key = "weak"
    auth = (emulator.client_id, emulator.client_secret)

    @app.get("/api/auth/login")
    @app.get("/api/auth/affirm")
    def login() -> Response:
        return_to = request.args.get("return_to", request.referrer or "/")
        query = {
            "client_id": emulator.client_id,
            "response_type": "code",
            "redirect_uri": f"{request.host_url}api/auth/callback?return_to={return_to}",
            "state": "s",
            "code_challenge": s256("undefined"),
            "code_challenge_method": "S256",
        }
        banner = {name: value for name, value in request.args.items() if name.startswith("error")}
        return redirect(f"{emulator.url}/login?{urlencode({**query, **banner})}")

    @app.get("/api/auth/callback")
    def callback() -> Any:
        if "error" in request.args:
            return request.args["error_description"]
        return_to = request.args.get("return_to", "/")
        form = {
            "code": request.args["code"],
            "redirect_uri": f"{request.host_url}api/auth/callback?return_to={return_to}",
            "code_verifier": "undefined",
        }
        reply = requests.post(f"{emulator.url}/api/v1/verify", data=form, auth=auth, timeout=20)
        if reply.status_code != 200:
            session.clear()
            return "failed", 400
        session["token"] = reply.json()["access_token"]
        return "", 302, {"Location": "".join(return_to.split("\r\n"))}

    @app.get("/api/auth/user")
    def user() -> Any:
        if "token" not in session:
            return Response("null", content_type="application/json")
        address = request.headers.get("X-Forwarded-For", request.remote_addr or "").split(",")[0]
        reply = requests.post(
            f"{emulator.url}/api/v1/userinfo",
            params={"domain": request.host_url},
            data=session["token"],
            headers={"auth-ip": address, "user-agent": request.user_agent.string},
            auth=auth,
            timeout=20,
        )
        return Response(
            reply.content if reply.status_code == 200 else "null", content_type="application/json"
        )

    @app.route("/api/auth/logout", methods=["GET", "POST"])
    def logout() -> Any:
        session.clear()
        return "", 302, {"Location": "".join(request.args.get("return_to", "/").split("\r\n"))}

    return app
