"""Asking a running emulator, from another process."""

from __future__ import annotations

from typing import Any, Final

import requests

from .control import CONTROL_HEADER

SECONDS: Final = 15


class NoEmulator(Exception):
    """The emulator does not answer, or says no; the text is for people."""


class ControlClient:
    """The control API of one emulator.

    :param url: the emulator's address.
    :param token: as given to the emulator.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {CONTROL_HEADER: "1"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return what a call answers.

        :raises NoEmulator: when there is nothing to return.
        """
        try:
            with requests.Session() as http:
                # A proxy knows nothing of this machine's addresses.
                http.trust_env = False
                reply = http.request(
                    method, f"{self.url}/_emulator{path}", json=body, headers=self._headers, timeout=SECONDS
                )
            answer = reply.json()
        except (requests.RequestException, ValueError) as problem:
            raise NoEmulator(f"there is no emulator at {self.url}: {type(problem).__name__}") from None
        if reply.status_code >= 400:
            raise NoEmulator(f"the emulator says: {answer.get('message')}")
        return answer
