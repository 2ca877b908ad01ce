"""What all tests share: where the published vectors are, and how their absence is treated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
def vector_counts(record_property):
    """Call with a set's name and its counts: they must add up, and are printed in the summary."""

    def note(name: str, *, passed: int, total: int, not_applicable: dict[str, int] | None = None) -> None:
        skipped = not_applicable or {}
        assert passed + sum(skipped.values()) == total, f"{name}: {passed} + {skipped} is not {total}"
        assert passed > 0, f"{name}: nothing ran"
        reasons = "".join(f"; {count} not applicable: {why}" for why, count in skipped.items())
        record_property("vectors", f"{name}: {passed} of {total} run and passed{reasons}")

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = {
        str(value)
        for report in terminalreporter.stats.get("passed", [])
        for key, value in report.user_properties
        if key == "vectors"
    }
    if lines:
        terminalreporter.section("published vectors")
        for line in sorted(lines):
            terminalreporter.write_line(line)
