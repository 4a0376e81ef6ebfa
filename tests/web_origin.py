"""Addresses as browsers see them: resolving, origins, sites, and the headers that tell of them."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit


def resolve(base: str, location: str) -> str:
    """An address as browsers read it: no tabs and line ends, backslashes are slashes (WHATWG URL)."""
    location = location.strip().translate({ord("\t"): None, ord("\r"): None, ord("\n"): None})
    path, mark, query = location.partition("?")
    path = path.replace("\\", "/")
    if path.startswith("//"):
        path = "//" + path.lstrip("/")
    return urljoin(base, path + mark + query)


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def fetch_site(chain: list[str], came_from: str) -> str:
    """Sec-Fetch-Site: the farthest away that any address of the redirect chain was."""
    if any(site_of(url) != site_of(came_from) for url in chain):
        return "cross-site"
    return "same-origin" if all(origin_of(url) == origin_of(came_from) for url in chain) else "same-site"


def referrer(came_from: str, url: str, policy: str) -> str:
    """The Referer header; the default policy is strict-origin-when-cross-origin."""
    same_origin = origin_of(came_from) == origin_of(url)
    downgrade = came_from.startswith("https:") and url.startswith("http:")
    if policy == "no-referrer" or downgrade or (policy == "same-origin" and not same_origin):
        return ""
    if same_origin and policy not in {"origin", "strict-origin"}:
        return came_from.partition("#")[0]
    return origin_of(came_from) + "/"


def site_of(url: str) -> tuple[str, str]:
    """Scheme and registrable domain (taken as the last two labels); the port does not count."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme, host if is_address(host) else ".".join(host.split(".")[-2:])


def is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdecimal()
