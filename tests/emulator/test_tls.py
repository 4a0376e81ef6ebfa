"""https: a certificate to trust, and two to refuse."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from flask_centralauth.emulator import Emulator


def test_the_good_certificate_is_good_once_it_is_trusted(tmp_path: Path) -> None:
    authority = tmp_path / "authority.pem"
    with Emulator(tls="good") as emulator:
        assert emulator.url.startswith("https://127.0.0.1:")
        authority.write_text(emulator.ca_certificate or "")
        with requests.Session() as http:
            http.trust_env = False
            http.verify = str(authority)
            silent = socket.create_connection(("127.0.0.1", emulator.port))
            found = http.get(f"{emulator.url}/.well-known/openid-configuration", timeout=20).json()
            assert found["token_endpoint"].startswith(emulator.url)
            assert http.get(f"https://localhost:{emulator.port}/healthz", timeout=20).status_code == 200
            page = http.get(f"{emulator.url}/login", timeout=20)
            assert page.status_code == 400
            silent.close()


@pytest.mark.parametrize(("kind", "told"), [("expired", "expired"), ("wrong_host", "127.0.0.1")])
def test_the_others_are_refused(tmp_path: Path, kind: str, told: str) -> None:
    authority = tmp_path / "authority.pem"
    with Emulator(tls=kind) as emulator:
        authority.write_text(emulator.ca_certificate or "")
        with pytest.raises(requests.exceptions.SSLError, match=told):
            requests.get(f"{emulator.url}/healthz", verify=str(authority), timeout=20)
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{emulator.url}/healthz", timeout=20)
        assert urlsplit(emulator.url).scheme == "https"
        assert len(emulator.requests) == 0


def test_a_public_address_may_be_a_number(tmp_path: Path) -> None:
    with Emulator(tls="good", host="127.0.0.2", public_url="https://127.0.0.2:1") as emulator:
        authority = tmp_path / "authority.pem"
        authority.write_text(emulator.ca_certificate or "")
        reply = requests.get(f"https://127.0.0.2:{emulator.port}/healthz", verify=str(authority), timeout=20)
        assert reply.json() == {"status": "ok"}


def test_another_kind_is_told() -> None:
    with pytest.raises(ValueError, match="there is no certificate 'golden'"):
        Emulator(tls="golden")
