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

from .parsers import TARGETS
from .seeds import SEEDS

ROOT: Final = Path(__file__).parents[2]
_PIECES: Final = st.lists(st.sampled_from(SEEDS) | st.binary(max_size=12), max_size=4).map(b"".join)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=80) | _PIECES)
def test_no_input_breaks_a_parser(target: str, data: bytes) -> None:
    TARGETS[target](data)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("target", TARGETS)
def test_a_bounded_run_of_the_fuzzer(target: str, tmp_path: Path) -> None:
    limits = ("-runs=2000", "-max_total_time=5", "-max_len=512", f"-artifact_prefix={tmp_path}/")
    command = [sys.executable, "-m", "tests.fuzz", target, *limits]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
