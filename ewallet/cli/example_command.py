"""`ewallet example`: an example town to try the counter page and the holder page with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import click

from ewallet.errors import MissingExtra

_SCENES: Final = ("counter", "government-hall", "library", "hospital")


@click.command()
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option("--scene", type=click.Choice(_SCENES), default="counter", show_default=True)
def example(port: int, scene: str) -> int:
    """Serve an example town: the counter page at / and the holder page at /holder.html.

    Everything in it is made up, its keys are gone when it ends, and it listens on this machine only.
    """
    try:
        from ewallet.service.example import ExampleTown  # noqa: PLC0415 (an extra)
        from ewallet.service.serving import serve_app  # noqa: PLC0415 (same)
    except ImportError as missing:
        raise MissingExtra("service", "the HTTP service") from missing
    with tempfile.TemporaryDirectory(prefix="ewallet-example-") as directory:
        town = ExampleTown(Path(directory), scene=scene)
        print(f"API key of the window, to retrieve licenses with: {town.key}", flush=True)
        print("counter page: /    holder page: /holder.html    at:", flush=True)
        try:
            serve_app(town.app(), host="127.0.0.1", port=port)
        finally:
            town.register.close()
    return 0
