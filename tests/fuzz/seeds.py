"""What the fuzzer starts from: one good input or bad one of each kind."""

from __future__ import annotations

from typing import Final

from ..test_redirects import HOSTILE

SEEDS: Final = (
    *(value.encode("utf-8", "surrogatepass") for value in HOSTILE),
    b'{"id":"a","blocked":false,"email":"a@b","created":"2025-01-01T00:00:00Z"}',
    b'\x19{"errorCode":"sessionInvalid","message":"no"}',
    b"state;WyJ4IiwxXQ.signature",
    b"[2001:db8::1]:99;Mozilla/5.0",
    b"eyJhbGciOiJkaXIifQ..AAAA.BBBB.CCCC",
    b'{"alg":"dir","enc":"A256GCM"}',
    b'{"sessionId":"s","iat":1,"exp":99999999999,"user":{"id":"a","blocked":false}}',
)
