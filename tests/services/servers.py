"""Real servers on free loopback ports, started and stopped by the tests that need them."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path

import psycopg

from tests.services import programs

HOST = "127.0.0.1"
READY_WITHIN = 30.0  # seconds; a busy machine makes a database slow to start, not broken


class Server(ABC):
    """One server process with data of its own, which keeps its port over `stop` and `start`."""

    def __init__(self) -> None:
        # Below the ports the kernel hands out itself, so that nothing takes ours while we are stopped.
        self._ports = random.sample(range(20000, 32000), 50)
        # Not pytest's temporary folder: PostgreSQL drops root and must still reach its data.
        self.folder = Path(tempfile.mkdtemp(prefix="flask-centralauth-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    @abstractmethod
    def url(self) -> str:
        """How a client library names this server."""

    @abstractmethod
    def empty(self) -> None:
        """Delete all data."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it is this process that answers on our port; OSError while nothing does."""

    _stop_signal = signal.SIGTERM
    _run_as: str | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until the server answers. On the first start a taken port is changed for another."""
        if self.is_running:
            return
        ports = [self.port] if self.port else [port for port in self._ports if _is_free(port)][:3]
        for self.port in ports:
            log = self.folder / "log"
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    self._command(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    user=self._run_as,
                    group=self._run_as,
                    extra_groups=[] if self._run_as else None,
                    start_new_session=True,  # Ctrl-C is for pytest, which stops us in its own order
                )
            if self._becomes_ready(self._process):
                return
            self.stop()
        said = (self.folder / "log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self._command()[0]} is not ready after {READY_WITHIN:g} s. It said:\n{said}")

    def _becomes_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            try:
                process.wait(timeout=0.02)  # the pause between two tries, cut short when it died
            except subprocess.TimeoutExpired:
                pass
            else:
                return False
            try:
                if self._answers(process):
                    return True
            except (OSError, psycopg.OperationalError):
                continue
        return False

    def stop(self) -> None:
        """Stop as an administrator would. Redis and memcached forget everything, PostgreSQL nothing."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """Stop without a goodbye, as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        self._signal(process, signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._signal(process, signal.SIGKILL)
            process.wait(timeout=10)

    def pause(self) -> None:
        """From now on connections open, requests are taken, and nothing is answered."""
        assert self._process is not None
        self._signal(self._process, signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._signal(self._process, signal.SIGCONT)

    def restore(self) -> None:
        """Running and empty again, whatever a test did."""
        self.resume()
        self.start()
        self.empty()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
        """To the process and its children: PostgreSQL serves each connection from a child."""
        if process.poll() is not None:
            return
        process.send_signal(what)  # the parent first, so that a stopped one has no new children
        for child in _children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, what)


class RedisServer(Server):
    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def empty(self) -> None:
        assert b"+OK" in _ask(self.port, b"FLUSHALL\r\n", b"\r\n")

    def _command(self) -> list[str]:
        program = str(programs.REDIS.require())
        return [program, "--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no"]

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        return f"process_id:{process.pid}\r\n".encode() in _ask(self.port, b"INFO server\r\n", b"\r\n\r\n")


class MemcachedServer(Server):
    @property
    def url(self) -> str:
        return f"{HOST}:{self.port}"

    def empty(self) -> None:
        assert b"OK" in _ask(self.port, b"flush_all\r\n", b"\r\n")

    def _command(self) -> list[str]:
        program = str(programs.MEMCACHED.require())
        command = [program, "--listen", HOST, "--port", str(self.port), "--udp-port", "0"]
        return [*command, "--user", "nobody"] if os.geteuid() == 0 else command

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        return f"STAT pid {process.pid}\r\n".encode() in _ask(self.port, b"stats\r\n", b"END\r\n")


class PostgresServer(Server):
    """Refuses to run as root, so root hands it to the user `postgres`, which Debian's package makes."""

    _stop_signal = signal.SIGINT  # "fast": does not wait for clients to leave

    def __init__(self) -> None:
        super().__init__()
        self._password = secrets.token_urlsafe(16)  # also proves that it is our server that answers
        self._program = programs.POSTGRESQL.require()
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            self._run_as = account.pw_name
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._data = self.folder / "data"

    @property
    def url(self) -> str:
        """For psycopg; SQLAlchemy wants `sqlalchemy_url`."""
        return f"postgresql://tests:{self._password}@{HOST}:{self.port}/postgres"

    @property
    def sqlalchemy_url(self) -> str:
        return self.url.replace("postgresql:", "postgresql+psycopg:")

    def start(self) -> None:
        if not self._data.exists():
            self._create()
        super().start()

    def empty(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            # A connection that a test left open would hold its locks against us.
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")

    def _create(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self._password)
        if self._run_as:
            shutil.chown(password_file, self._run_as)
        subprocess.run(
            [
                *(str(self._program.with_name("initdb")), "--pgdata", str(self._data)),
                *("--username", "tests", "--pwfile", str(password_file), "--auth", "scram-sha-256"),
                *("--encoding", "UTF8", "--no-locale", "--no-sync"),
            ],
            cwd=self.folder,
            user=self._run_as,
            group=self._run_as,
            extra_groups=[] if self._run_as else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "fsync": "off",  # nothing here needs to survive the machine
            "full_page_writes": "off",
            "synchronous_commit": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._program), "-D", str(self._data), "-p", str(self.port), *options]

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        with psycopg.connect(self.url, connect_timeout=2) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)


def _children(parent: int) -> list[int]:
    """Their process ids. None without /proc: there PostgreSQL's open connections cannot be paused."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            # The program's name is in parentheses and may hold anything; state and parent follow it.
            _state, its_parent, *_ = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(its_parent) == parent:
                found.append(int(stat.parent.name))
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _ask(port: int, request: bytes, until: bytes, timeout: float = 2.0) -> bytes:
    """The answer of a line protocol, read up to its closing bytes."""
    answer = b""
    with socket.create_connection((HOST, port), timeout) as connection:
        connection.sendall(request)
        while until not in answer:
            if not (part := connection.recv(65536)):
                break
            answer += part
    return answer
