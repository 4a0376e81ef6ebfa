"""One site behind gunicorn with one worker, which wrk visits; and the site's page worker."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from flask_centralauth.emulator import Emulator
from tests.browser_client import USER_AGENT, Browser

from .peer_environments import ROOT, Contender
from .sites import VARIABLE, Settings

READY_WITHIN: Final = 60.0  # seconds
#: The longest an order to a page worker may take.
ANSWER_WITHIN: Final = 90.0
#: gunicorn's: with several, wrk's keep-alive connections would be shared out unevenly.
WORKERS: Final = 1
THREADS: Final = 4
CONNECTIONS: Final = 4
LONGEST_TURN: Final = 10.0  # seconds of wrk

_WRK_SCRIPT: Final = """
local requests, at = {}, 0
function init(args)
  for cookie in io.lines(args[1]) do
    local headers = {["Cookie"] = "session=" .. cookie, ["User-Agent"] = args[2], ["Accept"] = "text/html"}
    requests[#requests + 1] = wrk.format("GET", wrk.path, headers)
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency, rest)
  local errors = summary.errors
  local bad = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("found %d %d %d\\n", summary.requests, summary.duration, bad))
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk found in one turn.

    :param rate: requests per second.
    :param cpu: microseconds of the worker's processor time per request.
    """

    rate: float
    cpu: float


class SiteServers:
    """The processes of one site on one engine.

    :raises NotInstalled: its environment cannot be made.
    """

    def __init__(self, contender: Contender, engine: str, redis_url: str, emulator: Emulator) -> None:
        self.contender = contender
        self._python = str(contender.python())
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark-site-")
        self._port = random.randrange(20000, 32000)
        self.origin = f"http://127.0.0.1:{self._port}"
        folder = self._folder.name
        settings = Settings(contender.module, engine, redis_url, folder, self.origin, emulator.config)
        self._environment = {
            **os.environ,
            VARIABLE: json.dumps(asdict(settings)),
            "PYTHONPATH": str(ROOT),
        }
        self._log = Path(folder) / "log"
        self._script = Path(folder) / "wrk.lua"
        self._script.write_text(_WRK_SCRIPT)
        self._cookies = {name: Path(folder) / f"{name}.cookies" for name in ("plain", "site")}
        self._gunicorn: subprocess.Popen[bytes] | None = None
        self._page_worker: subprocess.Popen[str] | None = None
        self.worker = 0

    # The web server

    def start(self) -> None:
        """Start gunicorn and wait for its worker.

        :raises RuntimeError: it does not start, with what it said.
        """
        options = ["--workers", str(WORKERS), "--threads", str(THREADS), "--bind", f"127.0.0.1:{self._port}"]
        command = [self._python, "-m", "gunicorn", *options, "--keep-alive", "30", "--log-level", "error"]
        with self._log.open("ab") as log:
            self._gunicorn = subprocess.Popen(
                [*command, "benchmarks.site_server:application"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN
        while True:
            with contextlib.suppress(OSError):
                answer = Browser(timeout=5).get(f"{self.origin}/worker")
                if answer.status == 200:
                    self.worker = int(answer.text)
                    return
            if self._gunicorn.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"does not start: {self._said()}")
            time.sleep(0.05)

    def log_in(self, browser: Browser) -> str:
        """Log in as a person does, and return the cookie of the session."""
        page = browser.get(f"{self.origin}/{'login' if self._has_login_page else 'guarded'}")
        if page.status != 200 or not page.url.endswith("/guarded"):
            raise RuntimeError(f"the login ends with {page.status} at {page.url}: {self._said()}")
        header = browser.cookies.header(self.origin, cross_site=False, safe_navigation=True)
        found = re.search(r"(?:^|; )session=([^;]+)", header or "")
        if found is None:
            raise RuntimeError(f"no session after the login: {header}")
        return found[1]

    def visit_all(self, users: int) -> None:
        """Let the web server see every person once, on both pages, and see that they are let in."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            for page, name in (("plain", "plain"), ("guarded", "site")):
                for cookie in self._cookies[name].with_suffix(f".{users}").read_text().split():
                    headers = {"Cookie": f"session={cookie}", "User-Agent": USER_AGENT}
                    connection.request("GET", f"/{page}", headers=headers)
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 200:
                        raise RuntimeError(f"/{page} answers {answer.status}: {self._said()}")
        except http.client.HTTPException as problem:
            raise RuntimeError(f"no answer: {problem!r}, {self._said()}") from problem
        finally:
            connection.close()

    def load(self, page: str, users: int, seconds: float) -> Load:
        """Let wrk visit a page."""
        cookies = self._cookies["plain" if page == "plain" else "site"].with_suffix(f".{users}")
        command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", "60s", "-s", str(self._script)]
        before = cpu_seconds(self.worker)
        wrk = subprocess.Popen(
            [*command, f"{self.origin}/{page}", "--", str(cookies), USER_AGENT],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                wrk.wait(seconds)
            # It counts whole seconds only, but can be told to end.
            wrk.send_signal(signal.SIGINT)
            said, _ = wrk.communicate(timeout=30)
        finally:
            wrk.kill()
        used = cpu_seconds(self.worker) - before
        found = re.search(r"^found (\d+) (\d+) (\d+)$", said, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"wrk said {said[-500:]}")
        requests, microseconds, bad = map(int, found.groups())
        if not requests and not bad and seconds < LONGEST_TURN:
            # The machine was busy with something else.
            return self.load(page, users, seconds * 2)
        if bad or not requests:
            raise RuntimeError(f"{bad} of {requests} requests failed: {self._said()}")
        return Load(requests / microseconds * 1e6, used / requests * 1e6)

    # The page worker

    def start_page_worker(self) -> None:
        with self._log.open("ab") as log:
            self._page_worker = subprocess.Popen(
                [self._python, "-c", "from benchmarks.page_worker import main; main()"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def let_in(self, cookie: str, users: Sequence[int]) -> None:
        """Let there be as many people as the largest of `users`, all of them seen once."""
        found = self.order("people", cookie=cookie, count=max(users), user_agent=USER_AGENT)
        for name, path in self._cookies.items():
            for count in users:
                path.with_suffix(f".{count}").write_text("\n".join(found[name][:count]) + "\n")
        for count in users:
            self.order("warm", users=count)

    def order(self, what: str, **order: Any) -> Any:
        """Let the page worker do something, and return what it found.

        :raises RuntimeError: it ended, with what it said.
        """
        assert self._page_worker is not None
        process = self._page_worker
        assert process.stdin is not None
        assert process.stdout is not None
        watch = threading.Timer(ANSWER_WITHIN, process.kill)
        watch.start()
        try:
            process.stdin.write(json.dumps({"do": what, **order}) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            watch.cancel()
        if not answer:
            raise RuntimeError(f"{what} failed: {self._said()}")
        return json.loads(answer)

    def close(self) -> None:
        for process in (self._gunicorn, self._page_worker):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for pipe in (self._page_worker.stdin, self._page_worker.stdout) if self._page_worker else ():
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._folder.cleanup()

    @property
    def _has_login_page(self) -> bool:
        return self.contender.module != "ours"

    def _said(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return lines[-1][:300] if lines else "it said nothing"


def end_when_told() -> None:
    """Let SIGTERM end this process as Ctrl-C does, with its servers."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(1))


def cpu_seconds(process: int) -> float:
    """The processor time of all threads of a process, in nanoseconds where the kernel counts them."""
    total = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((thread / "schedstat").read_text().split()[0])
    if total:
        return total / 1e9
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
