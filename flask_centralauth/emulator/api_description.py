"""What can be called, as an OpenAPI document made from the routes themselves."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask

_ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")


def openapi(app: Flask, base_url: str) -> dict[str, Any]:
    """Return paths and methods of the emulator with the first line of each view's docstring."""
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        summary = (view.__doc__ or "").strip().partition("\n")[0]
        if not summary or rule.endpoint == "static" or "/ui" in rule.rule:
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(_ARGUMENT.sub(r"{\1}", rule.rule), {})[method.lower()] = {
                "summary": summary,
                "operationId": f"{rule.endpoint}.{method.lower()}",
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                    for name in _ARGUMENT.findall(rule.rule)
                ],
                "responses": {"default": {"description": "JSON, or an error object"}},
            }
    return {
        "openapi": "3.1.0",
        "info": {"title": "CentralAuth emulator", "version": "1"},
        "servers": [{"url": base_url}],
        "paths": paths,
    }
