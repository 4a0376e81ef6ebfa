"""Two servers with two workers each, one Redis, one CentralAuth, and a crowd that hits any worker at random.

    ./benchmarks/run crowd                        60 people for 60 seconds
    ./benchmarks/run crowd --people 10 --seconds 10

People log in, look at pages, fill carts, log out, hand their browser to somebody else, have all their logins
ended, and do some of that at once in two tabs. In the middle one server is killed, and started again. Every
answer is compared with what that person may see. The exit status is 1 when one of them was wrong.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser, TooManyRedirects
from tests.browser_page import Page
from tests.cookie_jar import CookieJar

from .report import Report, options
from .web_servers import ORIGIN, WORKERS, Balancer, WebServer, deployment

#: How long after `logout_user` another worker may still answer; see docs/sessions.md.
NOTICED_WITHIN: Final = 1.0
WRONG: Final = ("wrong users", "lost logins", "zombies", "wrong carts", "other answers")


class Tally:
    """What the crowd saw."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.workers: set[int] = set()
        self.notes: list[str] = []

    def count(self, what: str, note: str = "") -> None:
        with self._lock:
            self._counts[what] += 1
            if note:
                self.notes.append(f"{what}: {note}")

    def __getitem__(self, what: str) -> int:
        return self._counts[what]


class Person:
    """Somebody at a browser, who knows whom it should show."""

    def __init__(self, number: int, emulator: Emulator, servers: list[WebServer], tally: Tally) -> None:
        self._dice = random.Random(number)
        self._tally = tally
        self._emails = (f"person{number}@example.com", f"guest{number}@example.com")
        self._ids = {email: emulator.add_user(email=email).id for email in self._emails}
        self._browser = Browser(
            emulator, user=self._emails[0], ip=f"203.0.113.{number % 250 + 1}", cookies=None, timeout=30
        )
        self._browser.routes = Balancer(servers, self._dice)
        self._who: str | None = None
        self._cart: list[str] = []

    def live(self, until: float, requests: int) -> None:
        """Do one thing after the other until the time or the number of requests is over."""
        actions: list[tuple[Callable[[], None], int]] = [
            (self._look, 60),
            (self._fill_cart, 12),
            (self._log_out, 5),
            (self._log_out_while_a_tab_writes, 5),
            (self._hand_over, 4),
            (self._log_in_from_two_tabs, 3),
            (self._end_everywhere, 2),
        ]
        while time.monotonic() < until and self._tally["requests"] < requests:
            if self._who is None:
                self._log_in()
            else:
                chosen, weights = zip(*actions, strict=True)
                self._dice.choices(chosen, weights)[0]()
            self._tally.count("actions")

    def _log_in(self) -> None:
        page = self._again(lambda: self._browser.get(f"{ORIGIN}/private"))
        self._who, self._cart = self._browser.user, self._cart if self._who is None else []
        self._tally.count("logins")
        self._compare(page, "just after the login")

    def _look(self) -> None:
        self._compare(self._again(lambda: self._browser.fetch(f"{ORIGIN}/")), "a view")

    def _fill_cart(self) -> None:
        item = str(self._dice.randrange(1000))
        page = self._again(lambda: self._browser.fetch(f"{ORIGIN}/cart/add/{item}"))
        self._cart = page.json()["cart"]  # a dropped answer may have added it twice
        self._compare(page, "after filling the cart")

    def _log_out(self) -> None:
        self._leave()
        self._compare(self._again(lambda: self._browser.fetch(f"{ORIGIN}/")), "after the logout")

    def _log_out_while_a_tab_writes(self) -> None:
        tab = self._browser.tab()
        tab.routes = self._browser.routes
        with ThreadPoolExecutor(1) as other:
            writing = other.submit(lambda: self._once(lambda: tab.fetch(f"{ORIGIN}/cart/slowly/late")))
            self._leave()
            writing.result()
        page = self._again(lambda: self._browser.fetch(f"{ORIGIN}/"))
        # A request that began after the logout is an anonymous visitor's, who may have a cart.
        self._cart = page.json()["cart"] if page.json()["cart"] == ["late"] else []
        self._compare(page, "after a logout with another tab under way")

    def _leave(self) -> None:
        if self._browser.page is None:
            self._again(lambda: self._browser.get(f"{ORIGIN}/"))
        copy = self._browser.cookies.copy()
        self._again(lambda: self._browser.submit(f"{ORIGIN}/api/auth/logout"))
        self._tally.count("logouts")
        self._who, self._cart = None, []
        self._is_dead(copy)

    def _hand_over(self) -> None:
        """Somebody else logs in over the one who is logged in."""
        copy = self._browser.cookies.copy()
        former, self._browser.user = self._who, next(one for one in self._emails if one != self._who)
        page = self._again(lambda: self._browser.get(f"{ORIGIN}/api/auth/login?return_to=/private"))
        self._tally.count("logins")
        self._tally.count("handed over")
        self._who, self._cart = self._browser.user, []
        self._compare(page, f"after {former} handed over")
        self._is_dead(copy)

    def _log_in_from_two_tabs(self) -> None:
        """The same person again, twice at once; each login replaces the session of the one before."""
        tabs = [self._browser.tab() for _ in range(2)]
        for tab in tabs:
            tab.routes = self._browser.routes
        address = f"{ORIGIN}/api/auth/login?return_to=/private"
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda tab: self._again(lambda: tab.get(address)), tabs))
        self._tally.count("logins")
        self._tally.count("logins")
        page = self._again(lambda: self._browser.fetch(f"{ORIGIN}/"))
        self._cart = page.json()["cart"]
        self._compare(page, "after logging in from two tabs")

    def _end_everywhere(self) -> None:
        assert self._who is not None
        copy = self._browser.cookies.copy()
        self._again(lambda: self._browser.fetch(f"{ORIGIN}/end/{self._ids[self._who or '']}", method="POST"))
        self._tally.count("ended everywhere")
        time.sleep(NOTICED_WITHIN)
        self._who, self._cart = None, []
        self._compare(
            self._again(lambda: self._browser.fetch(f"{ORIGIN}/")), "after being logged out everywhere"
        )
        self._is_dead(copy)

    def _compare(self, page: Page, when: str) -> None:
        if page.status != 200:
            self._tally.count("other answers", f"{page.status} {when}")
            return
        seen = page.json()
        self._tally.workers.add(seen["worker"])
        if seen["user"] != self._who:
            what = (
                "zombies" if self._who is None else "lost logins" if seen["user"] is None else "wrong users"
            )
            self._tally.count(what, f"{seen['user']} instead of {self._who} {when}")
        elif seen["cart"] != self._cart:
            self._tally.count("wrong carts", f"{seen['cart']} instead of {self._cart} {when}")

    def _is_dead(self, cookies: CookieJar) -> None:
        """A copy of the cookies of a login that is over, shown to any two workers."""
        thief = Browser(ip=self._browser.ip, cookies=cookies, routes={}, timeout=30)
        thief.routes = self._browser.routes
        for _ in range(2):
            answer = self._again(lambda: thief.fetch(f"{ORIGIN}/"))
            if answer.json()["user"] is not None:
                self._tally.count("zombies", "old cookies were logged in")

    def _again(self, request: Callable[[], Page]) -> Page:
        """Reload, as people do, while a server dies."""
        for _ in range(50):
            page = self._once(request)
            if page is not None:
                return page
        raise RuntimeError("no server answers")

    def _once(self, request: Callable[[], Page]) -> Page | None:
        try:
            page = request()
        except (OSError, http.client.HTTPException):
            self._tally.count("dropped connections")
            time.sleep(0.02)
            return None
        except TooManyRedirects as loop:
            self._tally.count("other answers", f"a loop: {loop}")
            return None
        for hop in page.hops:
            if hop.url.startswith(ORIGIN):
                self._tally.count("requests")
        return page


def run_crowd(*, people: int, seconds: float, requests: int) -> Tally:
    """Let the crowd in, and return what it saw. Bounded in time and requests."""
    tally = Tally()
    # CentralAuth is asked often, so that checks and logouts meet.
    with Emulator() as emulator, deployment(emulator, CENTRALAUTH_USER_TTL=2) as deployed:
        servers = deployed.servers
        crowd = [Person(number, emulator, servers, tally) for number in range(people)]
        began = time.monotonic()
        with ThreadPoolExecutor(people) as pool:
            living = [pool.submit(person.live, began + seconds, requests) for person in crowd]
            time.sleep(seconds * 0.4)
            servers[1].kill()
            tally.count("servers killed")
            time.sleep(seconds * 0.1)
            servers[1].start()
            for one in living:
                one.result()
    return tally


def main() -> int:
    chosen = options(
        "A crowd that hits any of four workers at random.",
        people=(60, 10),
        seconds=(60.0, 10.0),
        requests=(100_000, 100_000),
    )
    report = Report(
        "crowd",
        "A crowd on four workers",
        packages=["gunicorn", "redis"],
        programs=["redis-server"],
        quick=chosen.quick,
    )
    began = time.monotonic()
    tally = run_crowd(people=chosen.people, seconds=chosen.seconds, requests=chosen.requests)
    took = time.monotonic() - began
    report.note(
        f"Two gunicorns with {WORKERS} workers each and one Redis, {took:.0f} seconds. People log in, look, "
        "fill carts, log out, hand their browser to somebody else, have all their logins ended, in two "
        "tabs at once; every request goes to any worker. In the middle one gunicorn is killed, and started "
        "again. Every answer is compared with what that person may see."
    )
    table = report.table("What the crowd did", "", "times")
    table.row("browsers", chosen.people)
    table.row("users", 2 * chosen.people)
    for what in ("requests", "logins", "logouts", "handed over", "ended everywhere"):
        table.row(what, tally[what])
    for what in ("servers killed", "dropped connections"):
        table.row(what, tally[what])
    table.row("workers that answered", len(tally.workers))
    for what in WRONG:
        report.exact(what, tally[what], most=0)
    print("\n".join(tally.notes[:20]))
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
