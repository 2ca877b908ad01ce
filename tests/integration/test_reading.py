"""From four camera pixels for a module on, every kind of code is read from every degraded picture."""

from __future__ import annotations

import pytest

from benchmarks import reading


@pytest.mark.parametrize("spoiler", reading.SPOILERS)
@pytest.mark.parametrize("kind", reading.KINDS)
def test_four_pixels_are_enough(kind, spoiler):
    assert reading.rate(kind, spoiler, 4.0, trials=2) == 1.0
