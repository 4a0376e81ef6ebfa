"""The emulator as its command line runs it: a process of its own, on a free port."""

from __future__ import annotations

import signal
import subprocess
import sys


class EmulatorProcess:
    """A running `python -m flask_centralauth.emulator`; `said` is what it printed until it answered."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "flask_centralauth.emulator", "--port", "0", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.said: list[str] = []
        while not self.said or not self.said[-1].startswith("PORT="):
            self.said.append(self._process.stdout.readline())
            assert self.said[-1], self._process.communicate()
        self.port = int(self.said[-1].partition("=")[2])
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Stop it as a person or a container would; return its exit status and its complaints."""
        self._process.send_signal(how)
        _, complaints = self._process.communicate(timeout=20)
        return self._process.returncode, complaints
