"""What lint finds in the emulator's settings and sessions."""

from __future__ import annotations

from .finding import ERROR, WARNING, Finding, Found
from .service import Service


def findings_of_state(service: Service) -> Found:
    """Yield what is wrong with settings, logouts and affirmations."""
    yield from _settings(service)
    yield from _sign_outs(service)
    yield from _affirmations(service)


def _sign_outs(service: Service) -> Found:
    logins = [entry for entry in service.journal.of("verify") if entry.session_id]
    if service.settings.expect_logout_everywhere and logins and not service.journal.of("logout"):
        text = "no logout call came, although the application says that it signs out everywhere"
        yield Finding("L15", WARNING, text)


def _affirmations(service: Service) -> Found:
    """Find sessions that go on after somebody else than who was asked has confirmed."""
    with service.lock:
        sessions = list(service.store.sessions.values())
    for position, session in enumerate(sessions):
        browser = (session.ip, session.user_agent)
        before = [other for other in sessions[:position] if (other.ip, other.user_agent) == browser]
        if None in (session.affirmed_at, session.ip) or not before or before[-1].user_id == session.user_id:
            continue
        asked = [e for e in service.journal.of("userinfo") if e.session_id == session.id and e.status == 200]
        # Once to learn who it is; whoever asks again has taken them in.
        if len(asked) > 1:
            text = "somebody else confirmed their identity, and the application goes on with them"
            yield Finding("L20", ERROR, text, asked[1].number)


def _settings(service: Service) -> Found:
    settings = service.settings
    if not settings.whitelist:
        yield Finding("L16", WARNING, "the whitelist is empty: every origin gets callbacks")
    if settings.allow_localhost:
        yield Finding("L16", WARNING, "every localhost origin gets callbacks")
    if not (settings.hijack_ip and settings.hijack_user_agent):
        yield Finding("L16", WARNING, "hijack protection is off, in part or in all")
    if settings.login_method == "remote":
        text = (
            "mail links log in the browser that asked, not the one that opens them: open to consent phishing"
        )
        yield Finding("L16", WARNING, text)
