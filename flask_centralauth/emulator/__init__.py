"""A CentralAuth on your own machine, for development and tests.

No account, no network: ``python -m flask_centralauth.emulator`` or
:class:`Emulator` in a test.
"""

from .clock import Clock
from .emulator import Emulator
from .entities import Session, User
from .faults import Fault
from .finding import Finding
from .headless import LoginRefused
from .in_process import InProcessAdapter
from .journal import Journal, JournalEntry
from .settings import Settings

__all__ = [
    "Clock",
    "Emulator",
    "Fault",
    "Finding",
    "InProcessAdapter",
    "Journal",
    "JournalEntry",
    "LoginRefused",
    "Session",
    "Settings",
    "User",
]
