"""One request, checked rule by rule: what passed, what was refused and why.

The list ends up in the journal and on the pages, so a developer sees which rule failed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, cast

from werkzeug.datastructures import MultiDict

from ..errors import ErrorCode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """One rule and how it went."""

    rule: str
    passed: bool
    code: str | None = None
    message: str | None = None


class Refusal(Exception):
    """A rule was broken; the answer carries its code.

    :param status: HTTP status instead of the settings' table.
    :param retry_after: seconds for the ``Retry-After`` header.
    :param facts: further members of the error object.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        retry_after: int | None = None,
        facts: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = str(code)
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.facts = facts or {}


@dataclass
class Checks:
    """The rules one request went through, in order."""

    done: list[Check] = field(default_factory=list)

    def require(self, passed: object, rule: str, code: str, message: str) -> None:
        """Note a rule.

        :raises Refusal: when it is broken.
        """
        if not passed:
            self.done.append(Check(rule, False, str(code), message))
            raise Refusal(code, message)
        self.done.append(Check(rule, True))

    def found(self, value: T | None, rule: str, code: str, message: str) -> T:
        """Return a value that must be there, noting the rule.

        :raises Refusal: when it is None or empty.
        """
        self.require(value, rule, code, message)
        return cast(T, value)

    def once(self, fields: MultiDict[str, str]) -> None:
        """Note the rule that no parameter is repeated (OAuth 2.1 §4.1).

        :raises Refusal: naming those that are.
        """
        repeated = sorted(name for name in fields if len(fields.getlist(name)) > 1)
        self.require(
            not repeated,
            "no parameter is repeated",
            ErrorCode.MISSING_FIELDS,
            f"more than once: {', '.join(name[:40] for name in repeated)}",
        )
