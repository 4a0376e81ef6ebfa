"""The emulator as an object: run it, steer it, ask what was sent.

::

    with Emulator(whitelist=["http://localhost"]) as emulator:
        app = create_app(emulator.config)
        callback = emulator.authorize(login_url, user="alice@example.com")
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from types import TracebackType
from urllib.parse import urlsplit

from flask import Flask

from .application import create_app
from .certificates import server_context
from .headless import authorize
from .server import Server
from .service import DEFAULT_CLIENT_ID, SeedUser, Service
from .settings import Settings
from .steering import Steering


class Emulator(Steering):
    """A local CentralAuth. As a context manager it answers on a free port.

    :param whitelist: origins that may receive callbacks; empty allows all.
    :param hijack_protection: whether userinfo compares address and browser with the login's.
    :param users: e-mail addresses or dicts with further fields; None for four examples.
    :param mode: ``strict``, or ``compat`` for what the official clients send.
    :param client_id: the organization's id.
    :param client_secret: 16, 24, 32, 48 or 64 bytes; a random one by default.
    :param port: 0 for a free one.
    :param control: whether the control API and the dashboard exist.
    :param control_token: what a caller of them must present, as bearer token or password.
    :param tls: answer on https with a ``good`` certificate (``ca_certificate`` is the one
        to trust, as PEM), or one that clients must refuse: ``expired``, ``wrong_host``;
        or with a certificate of your own, in an ``SSLContext``.
    :param seed: makes identifiers and dice the same in every run.
    :param settings: further fields of :class:`~.settings.Settings`.
    :raises ValueError: naming what is wrong with them.
    """

    def __init__(
        self,
        *,
        whitelist: Iterable[str] = (),
        hijack_protection: bool = True,
        users: Iterable[SeedUser] | None = None,
        mode: str = "strict",
        client_id: str = DEFAULT_CLIENT_ID,
        client_secret: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int | None = None,
        public_url: str | None = None,
        internal_url: str | None = None,
        control: bool = True,
        control_token: str | None = None,
        show_secrets: bool = False,
        log: bool = False,
        tls: str | ssl.SSLContext | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        wanted: dict[str, object] = {
            "mode": mode,
            "whitelist": tuple(whitelist),
            "hijack_protection": hijack_protection,
            **(settings or {}),
        }
        service = Service(
            Settings().changed(wanted),
            client_id=client_id,
            client_secret=client_secret,
            users=users,
            seed=seed,
        )
        super().__init__(service)
        if public_url is not None:
            self.service.public_url = public_url.rstrip("/")
        self.service.internal_url = internal_url.rstrip("/") if internal_url else None
        self.app: Flask = create_app(
            self.service, control=control, control_token=control_token, show_secrets=show_secrets
        )
        self._address = (host, port)
        self._public_url = public_url
        self._log = log
        self.ca_certificate: str | None = None
        if isinstance(tls, str):
            tls, self.ca_certificate = server_context(tls, host=urlsplit(public_url or "").hostname)
        self._tls = tls
        self._server: Server | None = None

    # Running

    def start(self) -> Emulator:
        """Begin to answer on the port.

        :raises OSError: when the port is taken.
        """
        if self._server is not None:
            raise RuntimeError("this emulator runs already")
        host, port = self._address
        self._server = Server(self.app, host=host, port=port, log=self._log, tls=self._tls)
        if self._public_url is None:
            everywhere = host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound to
            shown = "127.0.0.1" if everywhere else f"[{host}]" if ":" in host else host
            scheme = "https" if self._tls else "http"
            self.service.public_url = f"{scheme}://{shown}:{self._server.port}"
        self.service.closing.clear()
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop answering; held requests go on first."""
        for fault in self.service.faults:
            fault.release()
        self.service.closing.set()
        self.requests.wake()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def wait(self) -> None:
        """Block while the emulator answers."""
        if self._server is not None:
            self._server.wait()

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers: the application's ``CENTRALAUTH_BASE_URL``."""
        return self.service.public_url

    @property
    def port(self) -> int:
        """The port it answers on."""
        if self._server is None:
            raise RuntimeError("this emulator does not run; use it with 'with', or call start()")
        return self._server.port

    @property
    def client_id(self) -> str:
        return self.service.organization.id

    @property
    def client_secret(self) -> str:
        return self.service.organization.secret

    @property
    def config(self) -> dict[str, str]:
        """The settings of an application that uses this emulator, for ``app.config``."""
        return {
            "CENTRALAUTH_BASE_URL": self.service.internal_url or self.url,
            "CENTRALAUTH_CLIENT_ID": self.client_id,
            "CENTRALAUTH_CLIENT_SECRET": self.client_secret,
        }

    def authorize(
        self,
        login_url: str,
        *,
        user: str = "alice@example.com",
        ip: str | None = None,
        user_agent: str | None = None,
        deny: bool = False,
        error: str | None = None,
        referer: str | None = None,
    ) -> str:
        """Log in without a browser and return the callback URL it would be sent to.

        :param login_url: the ``Location`` the application sent the browser to.
        :param ip: the browser's address, as hijack protection will compare it; None
            takes whatever the first userinfo call says.
        :param user_agent: the same for the browser.
        :raises LoginRefused: when the login page does not send the browser back.
        """
        return authorize(
            self.app,
            self.service,
            login_url,
            user=user,
            ip=ip,
            user_agent=user_agent,
            deny=deny,
            error=error,
            referer=referer,
        )

    def __repr__(self) -> str:
        return f"<Emulator {self.url} client_id={self.client_id!r}>"
