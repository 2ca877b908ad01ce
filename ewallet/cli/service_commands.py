"""`ewallet serve`: the HTTP service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ewallet.cli.verify_command import state_directory
from ewallet.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from ewallet.keys import Signer

_PASSWORD: str = "EWALLET_KEY_PASSWORD"  # noqa: S105 (name of a variable)


def _signer(file: Path | None) -> Signer | None:
    """The service's own verify key; its password comes from the environment, never from the command line."""
    if file is None:
        return None
    from ewallet.keys import SigningKey  # noqa: PLC0415

    password = os.environ.get(_PASSWORD)
    if password is None:
        raise ConfigError(f"set {_PASSWORD} to the password of the key", file=str(file))
    return SigningKey.load(file, password)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--trust",
    "bundle",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Gate bundle: a directory.",
)
@click.option("--policy", type=click.Path(path_type=Path), help="Policy; default: in the bundle.")
@click.option("--root", type=click.Path(path_type=Path), help="Pin the first root of the trust lists.")
@click.option("--state", type=click.Path(path_type=Path), help="What the service remembers.")
@click.option("--status", default="", help="Directory or mirror (URL) of status lists.")
@click.option("--guard", default="file", help="Replay guard: memory, file, or a Redis or SQL URL.")
@click.option("--name", default="", help="Name of this terminal, for its status bar.")
@click.option("--verify-key", type=click.Path(path_type=Path), help="Key to ask questions with.")
@click.option("--verify-as", default="", help="URI under which the lists name that key.")
@click.option("--quiet", is_flag=True, help="Log only calls that went wrong.")
@click.option("--shared-port", is_flag=True, help="Let several processes listen on the port.")
def serve(
    host: str,
    port: int,
    bundle: Path,
    policy: Path | None,
    root: Path | None,
    state: Path | None,
    status: str,
    guard: str,
    name: str,
    verify_key: Path | None,
    verify_as: str,
    quiet: bool,  # noqa: FBT001 (a flag of the command line)
    shared_port: bool,  # noqa: FBT001 (same)
) -> int:
    """Serve the counter page and the HTTP API.

    Stops gracefully on SIGTERM: calls that have begun are answered.
    """
    try:
        from ewallet.service.serving import run  # noqa: PLC0415 (an extra)
    except ImportError as missing:
        raise MissingExtra("service", "the HTTP service") from missing
    from ewallet.service.settings import Settings  # noqa: PLC0415 (same)

    settings = Settings(
        bundle=bundle,
        state=state or state_directory(),
        policy=policy,
        root=root,
        status=status,
        guard=guard,
        name=name,
        signer=_signer(verify_key),
        issuer=verify_as,
        log=not quiet,
    )
    run(settings, host=host, port=port, shared_port=shared_port)
    return 0
