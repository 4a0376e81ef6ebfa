"""What was measured of protected pages, as tables, and where we do worse than somebody else."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from .one_worker import Load
from .page_worker import PAGES
from .peer_environments import NO_AUTH, OURS, Contender
from .report import Report, Table, spread

#: Rows of the pages, and of each CPU time and time on the clock, in microseconds.
Rows = Sequence[Sequence[Sequence[float]]]


def missing_rows(table: Table, missing: Mapping[Contender, str]) -> None:
    """Nobody is dropped without a word."""
    for contender, why in missing.items():
        table.row(contender.title, why, *["-"] * (len(table.columns) - 2))


def in_process_table(
    report: Report, people: str, found: Mapping[Contender, Rows], missing: Mapping[Contender, str]
) -> None:
    """Pages through WSGI."""
    table = report.table(
        f"CPU time of a page in microseconds: {people}, in process",
        "",
        "without extension",
        "open page",
        "guarded page",
        "the guard alone",
        "in the quietest tenth",
        "guarded / open",
        "guarded / without extension",
        "guarded / open, on the clock",
    )
    for contender, rows in found.items():
        plain, opened, guarded = ([row[page][0] for row in rows] for page in range(len(PAGES)))
        table.row(
            contender.title,
            *(f"{statistics.median(values):.1f}" for values in (plain, opened, guarded)),
            spread([g - o for o, g in zip(opened, guarded, strict=True)], 1),
            f"{_quiet(guarded) - _quiet(opened):.1f}",
            spread([g / o for o, g in zip(opened, guarded, strict=True)], 3),
            spread([g / p for p, g in zip(plain, guarded, strict=True)], 3),
            spread([row[2][1] / row[1][1] for row in rows], 3),
        )
    missing_rows(table, missing)
    quiet = {contender: _quiet([row[2][0] for row in rows]) for contender, rows in found.items()}
    cheaper(report, f"A guarded page in process, {people}", quiet)


def _quiet(values: Sequence[float]) -> float:
    """What the lowest tenth of the figures stays below: hardly disturbed by what else the machine does."""
    return sorted(values)[len(values) // 10]


def gunicorn_table(
    report: Report,
    people: str,
    found: Mapping[Contender, Mapping[str, Sequence[Load]]],
    missing: Mapping[Contender, str],
) -> None:
    """Pages over HTTP: requests per second, and the worker's processor time for one."""
    table = report.table(
        f"Behind gunicorn, one worker: {people}",
        "",
        "requests/s without extension",
        "guarded",
        "ratio",
        "CPU us/request without extension",
        "open",
        "guarded",
        "guarded / open",
        "guarded / without extension",
    )
    for contender, loads in found.items():
        plain, opened, guarded = ([load.cpu for load in loads[page]] for page in PAGES)
        rates = [[load.rate for load in loads[page]] for page in ("plain", "guarded")]
        table.row(
            contender.title,
            *(f"{statistics.median(values):,.0f}" for values in rates),
            spread([g / p for p, g in zip(*rates, strict=True)], 2),
            *(f"{statistics.median(values):.0f}" for values in (plain, opened, guarded)),
            spread([g / o for o, g in zip(opened, guarded, strict=True)], 2),
            spread([g / p for p, g in zip(plain, guarded, strict=True)], 2),
        )
    missing_rows(table, missing)
    medians = {who: statistics.median(load.cpu for load in loads["guarded"]) for who, loads in found.items()}
    cheaper(report, f"A guarded page behind gunicorn, {people}", medians)


def cheaper(report: Report, what: str, medians: Mapping[Contender, float], unit: str = "us of CPU") -> None:
    """Say who is cheaper than we are."""
    ours = medians.get(OURS)
    if ours is None:
        return
    better = [
        f"{contender.title} {_figure(value)}"
        for contender, value in sorted(medians.items(), key=lambda pair: pair[1])
        if value < ours and contender != NO_AUTH
    ]
    if better:
        report.loss(f"{what}: ours takes {_figure(ours)} {unit}, {', '.join(better)}.")


def _figure(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def notes(report: Report) -> None:
    """How to read the tables."""
    report.note(
        "All three pages are the same view, which reads the session. *Without extension* comes from an "
        "application with Flask-Session and nothing else, in the same process and from the same kind of "
        "store; *open* is an unprotected page of the application that has the extension. Figures are "
        "medians, with the middle half of them in brackets; ratios are of neighbouring measurements. *In the "
        "quietest tenth* is the difference of what a tenth of all measurements stay below, which a busy "
        "machine hardly changes; who is said to be cheaper is judged by it, and behind gunicorn by the "
        "medians. The control shows how far two measurements of the same are apart on this machine."
    )
    report.note(
        "Flask-Session is set up as well as it can be (`SESSION_REFRESH_EACH_REQUEST` off). As it comes, "
        "each page also writes the session and sets the cookie: the last column of the counters. Without a "
        "server, ours keeps sessions in SQLite and Flask-Session keeps them in cachelib's files: there, the "
        "difference to *without extension* is also one of engines."
    )
    report.note(
        "The others do less. Authlib by hand, Flask-Login, Flask-Dance, Flask-pyoidc and identity look only "
        "into the session: somebody whom CentralAuth signed out or blocked stays logged in until session or "
        "token end, and only Flask-Login compares address and browser. Ours does, and asks CentralAuth again "
        "after `CENTRALAUTH_USER_TTL`, once a minute and user unless set otherwise; these views are within "
        "it. The call per page asks each time, here over loopback: a network's round trip comes on top. "
        "Flask-Login's user is made of the id; a database query would come on top."
    )
