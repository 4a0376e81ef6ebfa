"""The settings there are: the key of each, what checks its value, its default and what it does.

Adding a setting is adding a row here and a field of ``config.Settings``. The reference in
``docs/settings.md`` is made from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from . import setting_checks as checks
from .names import PREFIX
from .protocol import THEME_KEYS, TRANSLATION_KEYS

#: The default of a setting that has none.
REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the reference: key, how it is checked, what it does."""

    name: str
    read: Callable[[Any], Any]
    default: Any
    effect: str
    environment: str | None = None
    secret: bool = False

    @property
    def key(self) -> str:
        """The key of the `CentralAuth` object without a name."""
        return PREFIX + self.name.upper()

    def default_for(self, name: str | None) -> Any:
        """Return the default of the object of a name: each has routes of its own."""
        return f"{self.default}/{name}" if name and self.name == "url_prefix" else self.default


SETTINGS: Final = (
    Setting("client_id", checks.client_id, REQUIRED, "Organization id.", "AUTH_ORGANIZATION_ID"),
    Setting("client_secret", checks.credential, REQUIRED, "Client secret.", "AUTH_SECRET", secret=True),
    Setting("base_url", checks.base_url, "https://centralauth.com", "Where CentralAuth is.", "AUTH_BASE_URL"),
    Setting("callback_url", checks.callback_url, None, "The exact redirect URI."),
    Setting("url_prefix", checks.url_prefix, "/api/auth", "Where the routes are mounted."),
    Setting("login_view", checks.endpoint, None, "Endpoint of the application's own sign-in page."),
    Setting("after_login", checks.path_or_endpoint, "/", "Where a login without a return path ends."),
    Setting("after_logout", checks.path_or_endpoint, "/", "Where a logout without a return path ends."),
    Setting("return_hosts", checks.hosts, (), "Further exact hosts that return_to may name."),
    Setting("autologin_domains", checks.origins, (), "Every domain that takes part in autologin."),
    Setting("autologin_key", checks.shared_key, None, "The key these domains share.", secret=True),
    Setting(
        "user_ttl",
        checks.number(0, 86_400),
        60.0,
        "Seconds a checked user is reused; 0 asks on every request.",
    ),
    Setting(
        "stale_grace",
        checks.number(0, 86_400),
        300.0,
        "Seconds a user stays in while CentralAuth cannot be asked.",
    ),
    Setting("timeout", checks.number(0.1, 60), 5.0, "Seconds for one call to CentralAuth, in total."),
    Setting("login_lifetime", checks.whole_seconds(60, 86_400), 1800, "Seconds a started login may take."),
    Setting("logout_everywhere", checks.flag, False, "Whether logout also ends the session at CentralAuth."),
    Setting("allow_blocked", checks.flag, False, "Whether blocked users may come in."),
    Setting("require_verified", checks.flag, False, "Whether unverified users are refused."),
    Setting(
        "unsafe_local_id_token",
        checks.flag,
        False,
        "Whether a login's own id token stands in for CentralAuth until it expires.",
    ),
    Setting("translations", checks.words(TRANSLATION_KEYS), None, "Texts of CentralAuth's login page."),
    Setting("theme", checks.words(THEME_KEYS), None, "Looks of CentralAuth's login page."),
    Setting("flash_category", checks.plain_text, "error", "Category of flashed errors."),
)
