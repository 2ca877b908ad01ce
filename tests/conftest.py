"""What all tests share: where the published vectors are, and how their absence is treated."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_COUNTS: list[str] = []


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """Directory of the published vectors.

    A missing set fails where `EWALLET_VECTORS` names it (as CI does), and skips with a notice elsewhere.
    """
    named = os.environ.get("EWALLET_VECTORS")
    path = Path(named) if named else ROOT.parent / "shared" / "vectors"
    if path.is_dir():
        return path
    if named:
        pytest.fail(f"EWALLET_VECTORS names {path}, which is not there")
    pytest.skip(f"notice: no published vectors at {path}; set EWALLET_VECTORS to run them")


@pytest.fixture
def vector_counts(request: pytest.FixtureRequest):
    """Call with a set's name and its counts: they are printed in the summary and must add up."""

    def note(name: str, *, passed: int, not_applicable: dict[str, int] | None = None, total: int) -> None:
        skipped = not_applicable or {}
        assert passed + sum(skipped.values()) == total, f"{name}: {passed} + {skipped} is not {total}"
        assert passed > 0, f"{name}: nothing ran"
        reasons = "".join(f"; {count} not applicable: {why}" for why, count in skipped.items())
        line = f"vectors {name}: {passed} of {total} run and passed{reasons}"
        print(line)
        warnings.warn(VectorCount(line), stacklevel=1)

    return note


class VectorCount(UserWarning):
    """Carries one line of counts from a worker to the summary."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "always::tests.conftest.VectorCount")


@pytest.hookimpl(optionalhook=True)
def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    text = str(warning_message.message)
    if text.startswith("vectors "):
        _COUNTS.append(text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _COUNTS:
        terminalreporter.section("published vectors")
        for line in sorted(set(_COUNTS)):
            terminalreporter.write_line(line)
