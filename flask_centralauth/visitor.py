"""The browser a call to CentralAuth is made for.

CentralAuth compares address, browser and device with those of the login, and we are the
only ones who make these values true.

Source: "CentralAuth: userinfo" (hijack protection).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from typing import Final

#: Servers refuse header lines of 8 KB; a browser's own is below 1 KB.
MAX_USER_AGENT: Final = 4096
MAX_DEVICE_ID: Final = 128
UNKNOWN_BROWSER: Final = "unknown"

#: Of machines, homes, companies and carriers. Not ``is_private``, which has more in it.
_PRIVATE_NETWORKS: Final = tuple(
    map(
        ipaddress.ip_network,
        """
        127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 100.64.0.0/10
        ::1/128 fc00::/7 fe80::/10
        """.split(),
    )
)

#: What a header value may carry. CentralAuth saw the browser's own bytes, beyond ASCII or
#: not, so these are passed on as they are.
_LEGAL: Final = re.compile("[\t\x20-\x7e\x80-\xff]+")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Address, browser and device of one request, fit to be sent as headers."""

    ip: str | None
    user_agent: str
    device_id: str | None = None


def visitor_of(remote_address: str | None, user_agent: str | None, device_id: str | None = None) -> Visitor:
    """Return the visitor of a request.

    :param remote_address: ``request.remote_addr``, which only a configured ProxyFix may
        have taken from a header; never the first entry of ``X-Forwarded-For``.
    """
    return Visitor(
        _address(remote_address),
        _header(user_agent, MAX_USER_AGENT) or UNKNOWN_BROWSER,
        _header(device_id, MAX_DEVICE_ID),
    )


def is_private(address: str | None) -> bool:
    """Say whether an address cannot be a visitor's on the internet."""
    if address is None:
        return True
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in _PRIVATE_NETWORKS)


def _address(remote_address: str | None) -> str | None:
    """Return the one canonical spelling of an address, or None if it is not usable.

    Ports and zones are cut, IPv4-mapped IPv6 becomes IPv4: one client must not look like
    two (attack: malformed or missing client address).
    """
    text = (remote_address or "").strip()
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::\d+)?", text)
    if bracketed:
        text = bracketed[1]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _header(value: str | None, limit: int) -> str | None:
    text = (value or "").strip()[:limit].rstrip()
    return text if _LEGAL.fullmatch(text) else None


def visitor_digest(visitor: Visitor) -> str:
    """Return what a record keeps of a browser: enough to notice another one."""
    parts = (visitor.ip or "", visitor.user_agent, visitor.device_id or "")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
