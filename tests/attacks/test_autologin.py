"""Attacks on autologin where it is on: a login that is carried from one domain to another."""

from __future__ import annotations

import pytest

from flask_centralauth.emulator import Emulator

from ..autologin_domains import HIDDEN, Domain, answer, in_frame, sign_in
from ..browser_client import Browser
from .marks import attack
from .target import ALICE, BOB, assert_refused

pytest_plugins = ("tests.autologin_fixtures",)

MALLORY = "mallory@example.com"


@attack(
    101,
    "Off unless set up: a link leads to a login here. Set up, a state that a listed domain signed begins "
    "this browser's own login, once; the code that came with it is not used, and who is signed in stays.",
)
@pytest.mark.parametrize("headers", [{}, HIDDEN], ids=["window", "frame"])
@pytest.mark.parametrize("known", [None, ALICE], ids=["stranger", "known at CentralAuth"])
def test_autologin_never_takes_a_carried_code(
    shop: Domain,
    blog: Domain,
    person: Browser,
    emulator: Emulator,
    headers: dict[str, str],
    known: str | None,
) -> None:
    if known:
        sign_in(person, shop, known)
    link = sign_in(Browser(emulator, user=None), shop, MALLORY)
    person.tab().get(link, headers=headers)
    assert blog.user_of(person) == known


@attack(101)
def test_autologin_lets_nobody_in_by_a_stolen_link(
    shop: Domain, blog: Domain, person: Browser, emulator: Emulator
) -> None:
    link = sign_in(person, shop)
    thief = Browser(emulator, user=None)
    for headers in ({}, HIDDEN):
        thief.tab().get(link, headers=headers)
        assert blog.user_of(thief) is None


@attack(101)
def test_autologin_counts_a_state_once(
    shop: Domain, blog: Domain, person: Browser, emulator: Emulator
) -> None:
    link = sign_in(person, shop)
    assert in_frame(person, link).status == 204
    stranger = Browser(emulator, user=None)
    assert_refused(stranger.get(link))
    assert blog.user_of(stranger) is None


@attack(101)
def test_autologin_replaces_nobody(shop: Domain, blog: Domain, person: Browser, emulator: Emulator) -> None:
    page = person.get(f"{blog.url}/private")
    answer(person, page, BOB)
    link = sign_in(Browser(emulator, user=None), shop, MALLORY)
    for headers in ({}, HIDDEN):
        person.tab().get(link, headers=headers)
        assert blog.user_of(person) == BOB
