"""Draws the two pictures of architecture.md: the way of a login, and the modules.

    python docs/drawings.py

Run it after adding a module to the package; a test compares the pictures with this file, and the rows
with what the modules import.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

IMAGES: Final = Path(__file__).parent / "images"

#: From the top down: a module imports from its own row and those below.
ROWS: Final[tuple[tuple[str, str], ...]] = (
    ("For tests and metrics", "testing pytest_plugin telemetry"),
    ("Wires one application; terminal", "extension cli diagnosis"),
    ("Routes and answers", "views handlers sign_in sign_out direct_login autologin last_word"),
    (
        "What a person or program sees",
        "error_pages ways_back pages notices embedding route_headers",
    ),
    ("Who may see a page", "guards private_pages affirmation guarded_views proxies proxy_check"),
    ("Who makes this request", "identity incidents"),
    ("The parts of one application", "state"),
    (
        "Login and the checked user",
        "login_flow callback login_words id_token shared_states user_cache bearer known_logins",
    ),
    ("CentralAuth", "client replies client_secrets deadline background single_flight thread_pool"),
    (
        "The store",
        "login_store login_session login_record mail_logins session_guard session_logins session_choice "
        "session_cookie session_encoding unavailable_session engines store_failures engine_choice",
    ),
    (
        "Settings and started logins",
        "config setting_table setting_checks setting_warnings attempts embedded_store access_token policy "
        "breaker recent",
    ),
    (
        "Values and rules",
        "errors error_codes user visitor redirects negotiation strict_json signals protocol translations "
        "mail_address dates names request_notes tally",
    ),
)

#: Who acts, and what: from and to (columns), words; or a note below one column.
BROWSER, APPLICATION, CENTRALAUTH = range(3)
Step = tuple[int, int, str]
STEPS: Final[tuple[Step, ...]] = (
    (BROWSER, APPLICATION, "GET /private"),
    (APPLICATION, APPLICATION, "the guard: nobody is logged in"),
    (APPLICATION, BROWSER, "302 to /api/auth/login"),
    (BROWSER, APPLICATION, "GET /api/auth/login"),
    (APPLICATION, APPLICATION, "state and PKCE verifier (Authlib)"),
    (APPLICATION, BROWSER, "302, with the cookie of this attempt"),
    (BROWSER, CENTRALAUTH, "GET /login with client_id, redirect_uri, state, code_challenge"),
    (CENTRALAUTH, CENTRALAUTH, "the person signs in"),
    (CENTRALAUTH, BROWSER, "302 to the callback with code and state"),
    (BROWSER, APPLICATION, "GET /api/auth/callback"),
    (APPLICATION, APPLICATION, "this browser's attempt? not used before?"),
    (APPLICATION, CENTRALAUTH, "POST /api/v1/verify: code, verifier"),
    (APPLICATION, CENTRALAUTH, "POST /api/v1/userinfo: who is it?"),
    (APPLICATION, APPLICATION, "policy, on_login hooks, a new session id"),
    (APPLICATION, BROWSER, "303 to /private"),
)

_STYLE: Final = (
    "text{font:14px system-ui,sans-serif;fill:#1d2733}.t{font-weight:600}.c{font:13px ui-monospace,monospace}"
    ".q{fill:#5b6775}.l{stroke:#2d5bd0;stroke-width:1.5;fill:none}.d{stroke:#aab4c2;stroke-dasharray:4 4}"
    ".b{fill:#eef2fb;stroke:#b9c8ee}.n{fill:#fff8e6;stroke:#e3cf94}.h{fill:#2d5bd0}"
)


def flow() -> str:
    """Return the picture of a login: who asks whom, from the top down."""
    columns = (110, 470, 830)
    titles = ("Browser", "Application", "CentralAuth")
    row, top = 44, 84
    height = top + row * len(STEPS) + 20
    parts = []
    for x, title in zip(columns, titles, strict=True):
        parts.append(f'<path class="d" d="M{x} 54V{height - 16}"/>')
        parts.append(f'<rect class="b" x="{x - 75}" y="18" width="150" height="36" rx="8"/>')
        parts.append(f'<text class="t" x="{x}" y="41" text-anchor="middle">{title}</text>')
    for number, (start, end, words) in enumerate(STEPS):
        y = top + row * number
        if start == end:
            width = 8 * len(words) + 20
            x = min(columns[start], 930 - width / 2)
            parts.append(
                f'<rect class="n" x="{x - width / 2:g}" y="{y - 6}" width="{width}" height="28" rx="6"/>'
            )
            parts.append(f'<text x="{x:g}" y="{y + 13}" text-anchor="middle">{escape(words)}</text>')
            continue
        right = end > start
        tip = columns[end] - 9 if right else columns[end] + 9
        middle = (columns[start] + columns[end]) / 2
        # Beside the middle column's line, not across it.
        middle = middle if abs(end - start) == 1 else (columns[0] + columns[1]) / 2 + 120
        parts.append(f'<path class="l" d="M{columns[start]} {y + 14}H{tip}"/>')
        point = -8 if right else 8
        parts.append(f'<path class="h" d="M{columns[end]} {y + 14}l{point} -5v10z"/>')
        wide = 7.2 * len(words) + 12
        parts.append(
            f'<rect x="{middle - wide / 2:g}" y="{y - 8}" width="{wide:g}" height="18" fill="#fff"/>'
        )
        parts.append(f'<text x="{middle:g}" y="{y + 6}" text-anchor="middle">{escape(words)}</text>')
    return _svg(940, height, "The way of a login: " + "; ".join(step[2] for step in STEPS), parts)


def modules() -> str:
    """Return the picture of the modules: rows, and one arrow for all imports."""
    left, width, row, top = 316, 640, 46, 20
    parts = []
    y = top
    for title, names in ROWS:
        lines = _lines(names.split(), width - 24)
        height = row + 22 * (len(lines) - 1)
        parts.append(f'<rect class="b" x="{left}" y="{y}" width="{width}" height="{height - 8}" rx="8"/>')
        middle = y + (height - 8) / 2 + 5
        parts.append(f'<text class="t" x="{left - 16}" y="{middle:g}" text-anchor="end">{title}</text>')
        for number, line in enumerate(lines):
            place = f'x="{left + 14}" y="{y + 24 + 22 * number}" xml:space="preserve"'
            parts.append(f'<text class="c" {place}>{line}</text>')
        y += height
    parts.append(f'<path class="l" d="M22 {top + 6}V{y - 22}"/><path class="h" d="M22 {y - 12}l-5 -10h10z"/>')
    words = f'<text class="q" transform="translate(46 {(top + y) / 2:g}) rotate(-90)" text-anchor="middle">'
    parts.append(f"{words}imports</text>")
    rows = "; ".join(f"{title}: {names}" for title, names in ROWS)
    return _svg(976, y + 12, f"The modules, from the top down. {rows}", parts)


def _lines(names: list[str], width: int) -> list[str]:
    lines = [""]
    for name in names:
        longer = f"{lines[-1]}   {name}".strip()
        if 7.9 * len(longer) > width:
            lines.append(name)
        else:
            lines[-1] = longer
    return lines


def _svg(width: int, height: float, told: str, parts: list[str]) -> str:
    # Its own light ground: it is shown on light and dark pages alike.
    ground = f'<rect width="{width}" height="{height:g}" rx="10" fill="#fff"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" role="img">\n'
        f"<title>{escape(told)}</title>\n<style>{_STYLE}</style>\n{ground}\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


DRAWINGS: Final = {"flow.svg": flow, "modules.svg": modules}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (IMAGES / name).write_text(draw(), encoding="utf-8")
