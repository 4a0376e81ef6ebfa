"""The application the crowd visits, one process per worker: ``gunicorn benchmarks.crowd_site:app``."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import redis
from flask import Flask, session
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_centralauth import CentralAuth, auth_required, current_user

app = Flask("crowd_site")
app.config.update(json.loads(os.environ["CROWD_SETTINGS"]))
app.config.update(
    SESSION_TYPE="redis",
    SESSION_REDIS=redis.Redis.from_url(
        os.environ["REDIS_URL"], socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
    ),
)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
centralauth = CentralAuth(app)


@app.get("/")
def who() -> dict[str, Any]:
    return {"user": current_user.email, "cart": session.get("cart", []), "worker": os.getpid()}


@app.get("/private")
@auth_required
def private() -> dict[str, Any]:
    return who()


@app.get("/cart/add/<item>")
def add(item: str) -> dict[str, Any]:
    session["cart"] = [*session.get("cart", []), item]
    return who()


@app.get("/cart/slowly/<item>")
def add_slowly(item: str) -> dict[str, Any]:
    """A request that reads its session, takes its time, and writes what it read."""
    answer = add(item)
    time.sleep(0.05)
    return answer


@app.post("/end/<user_id>")
def end(user_id: str) -> dict[str, Any]:
    centralauth.logout_user(user_id)
    return {}
