"""Writes errors.md, next to this file, from the table of error codes.

    python docs/generate_errors.py

Run it after changing flask_centralauth/error_codes.py; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flask_centralauth.errors import ERRORS, UNKNOWN, CentralAuthError, ErrorRow

TARGET: Final = Path(__file__).with_name("errors.md")

INTRODUCTION: Final = """\
# Errors

<!-- Made by docs/generate_errors.py from flask_centralauth/error_codes.py: change those. -->

What each error code means, why it happens, what people see and what the operator should do.
A log record ends with the section of this page; the incident id in it is the one the person was shown.

Where CentralAuth answers one of our own calls with a 5xx or something unusable, the outcome is that of
`networkError`, and with a 429 that of `tooManyRequests`, whatever the code.

A program (a `fetch`, an image, a bearer client, anything that is not a page visit) gets every error as JSON
with the status below, never a redirect and never a cookie:

```json
{"errorCode": "sessionExpired", "message": "Your session has expired. Please sign in again.",
 "loginUrl": "/api/auth/login", "incidentId": "0f2b6c9a41"}
```

`loginUrl` is there where signing in helps. HTMX gets the same with `HX-Redirect`, a bearer client with
`WWW-Authenticate`.

## Families

Every error is an exception of one family, importable from `flask_centralauth`. Handle one family with
`@app.errorhandler(SessionError)`, or all with `@app.errorhandler(CentralAuthError)`. To change only the page,
write a template `centralauth/errors/<errorCode>.html`, `centralauth/errors/<family>.html` or
`centralauth/error.html`.

| exception | family | status | what people see |
|---|---|---|---|
"""

#: What happens to a person, by family.
OUTCOMES: Final = {
    "session": "Signed out here, told so, sent to login, and back on the same page. While signing in: as a "
    "failed login. A form is not sent again: back to its page, with a note that nothing was saved.",
    "login": "Back to login, with the message on CentralAuth's page (with `CENTRALAUTH_LOGIN_VIEW` on yours, "
    "as a flash). When it happens again in a row: a page with “try again”.",
    "permission": "A page with “use another account”. Never a redirect.",
    "configuration": "A page that does not ask to try again. The hint is in the log, and in debug mode on "
    "the page.",
    "rate_limit": "A page that says when to try again (`Retry-After`).",
    "unavailable": "A page with “try again” (`Retry-After`). Nobody is signed out, and a user whom "
    "CentralAuth confirmed within `CENTRALAUTH_STALE_GRACE` notices nothing.",
    "entity": "A page with CentralAuth's own message.",
}


def text() -> str:
    """Return the page. Renderers make the anchors from the headings."""
    families = dict.fromkeys(row.family for row in ERRORS.values())
    parts = [INTRODUCTION + "".join(_family(family) for family in families)]
    parts += [_section(code, row) for code, row in ERRORS.items()]
    parts.append(_section("Unknown code", UNKNOWN))
    return "\n".join(parts)


def _family(family: type[CentralAuthError]) -> str:
    status = family.code or "400 or 404"
    return f"| `{family.__name__}` | `{family.family}` | {status} | {OUTCOMES[family.family]} |\n"


def _section(title: str, row: ErrorRow) -> str:
    shown = f"“{row.sentence}”"
    if row.shows_message:
        shown += " followed by CentralAuth's message."
    return (
        f"## {title}\n\n"
        f"`{row.family.__name__}` ([what happens](#families)), {row.status}. {row.meaning}\n\n"
        f"- **Cause:** {row.cause}\n"
        f"- **People see:** {shown}\n"
        f"- **What to do:** {row.hint}\n"
    )


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
