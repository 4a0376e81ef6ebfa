"""The benchmarks beside other libraries run, with this extension alone; its exact counters hold."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

from benchmarks import peer_environments
from benchmarks import report as reports
from benchmarks.login import LoginRun, run_login
from benchmarks.peer_environments import NO_AUTH, OURS, Contender, NotInstalled
from benchmarks.report import Report
from benchmarks.views import Run, run_views

from . import programs

WRK = programs.Program("wrk", "wrk", ["wrk"])
NOWHERE = Contender("nobody's", "nobodys", "nobody", ("no-such-package>=1",))


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    programs.REDIS.require()
    if importlib.util.find_spec("gunicorn") is None:
        pytest.skip(f"{programs.NOT_RUN}gunicorn is not installed (pip install gunicorn)")
    monkeypatch.setattr(reports, "RESULTS", tmp_path)
    return Report("example", "An example")


@pytest.fixture
def no_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: str, _packages: tuple[str, ...]) -> Path:
        raise NotInstalled("not installed: no such package")

    monkeypatch.setattr(peer_environments, "installed", refuse)


def rows_of(report: Report, title: str) -> dict[str, list[str]]:
    (table,) = (table for table in report.result()["tables"] if table["title"].startswith(title))
    return {row[0]: row[1:] for row in table["rows"]}


@pytest.mark.timeout(110)
def test_protected_pages_are_measured_and_ours_asks_nobody(report: Report, no_installation: None) -> None:
    WRK.require()
    contenders = [NO_AUTH, OURS, NOWHERE]
    run_views(Run(report, contenders, seconds=0.05, wrk_turns=1, wrk_seconds=0.1, many=3))
    assert report.finish() == 0
    counted = rows_of(report, "What 1,000 guarded views do")
    reads, *others = counted[OURS.title]
    assert int(reads.replace(",", "")) >= 1000
    assert others[:4] == ["0", "0", "0", "0"]
    # Nobody is dropped without a word.
    titles = [table["title"] for table in report.result()["tables"][:-1]]
    assert len(titles) == 9
    for title in titles:
        assert rows_of(report, title)[NOWHERE.title][0] == "not installed: no such package"
        assert rows_of(report, title).keys() == {NO_AUTH.title, OURS.title, NOWHERE.title}


@pytest.mark.timeout(60)
def test_logins_are_measured_and_ours_makes_two_calls_on_one_connection(
    report: Report, no_installation: None
) -> None:
    run_login(LoginRun(report, [OURS, NOWHERE], 3))
    assert report.finish() == 0
    asked = rows_of(report, "What a login asks of others")
    assert asked[OURS.title][:3] == ["2", "1", "0"]
    assert asked[NOWHERE.title][0] == "not installed: no such package"


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        failed = "install" in command
        return subprocess.CompletedProcess(command, int(failed), "", "first line\nno matching distribution\n")

    monkeypatch.setattr(peer_environments, "ROOT", tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(NotInstalled, match="not installed: no matching distribution"):
        peer_environments.installed("nobody", ("no-such-package>=1",))
