"""The mark by which docs/generate_security.py finds the tests that perform an attack of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

Test = TypeVar("Test", bound=Callable[..., object])

#: ``held``: performed and survived. ``service``: only CentralAuth can prevent it, the test is of what we do
#: at our end. ``not offered``: the feature does not exist, the test finds its door closed.
State = Literal["held", "service", "not offered"]


def attack(
    number: int, defence: str = "", *, decided: str = "", state: State = "held"
) -> Callable[[Test], Test]:
    """Mark a test that performs an attack. Literals only: the ledger is made without running anything.

    :param number: of catalogue.tsv, next to this file.
    :param defence: one sentence on what we do; on one test of each attack.
    :param decided: where the contract decides otherwise than the catalogue, and how.
    """
    return lambda test: test
