"""A bounded run of what parsers.py fuzzes: by hypothesis always, and by atheris where it is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..test_redirects import HOSTILE
from .parsers import TARGETS

ROOT: Final = Path(__file__).parents[2]
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
_PIECES: Final = st.lists(st.sampled_from(SEEDS) | st.binary(max_size=12), max_size=4).map(b"".join)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=80) | _PIECES)
def test_no_input_breaks_a_parser(target: str, data: bytes) -> None:
    TARGETS[target](data)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("target", TARGETS)
def test_a_bounded_run_of_the_fuzzer(target: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(seed)
    limits = ("-runs=2000", "-max_total_time=5", "-max_len=512", f"-artifact_prefix={tmp_path}/")
    command = [sys.executable, "-m", "tests.fuzz", target, *limits, str(corpus)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
