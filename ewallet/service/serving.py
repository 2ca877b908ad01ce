"""Runs the application under uvicorn: one process, its own listening socket, a graceful end."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

import uvicorn

from ewallet.errors import ConfigError
from ewallet.service.app import create_app

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ewallet.service.settings import Settings

GRACE: Final = 10
"""Seconds that calls which have begun get to end."""

_CONNECTIONS: Final = 512
"""Calls at once in one process; beyond them the answer is 503, at once."""


def run(settings: Settings, *, host: str, port: int, shared_port: bool = False) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        settings: what the process is started with.
        host: address to listen on.
        port: port; 0 takes a free one.
        shared_port: let other processes listen on it too: the system spreads the connections.

    Raises:
        ConfigError: the settings do not fit together, or the address cannot be had.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    serve_app(create_app(settings), host=host, port=port, shared_port=shared_port)


def serve_app(app: FastAPI, *, host: str, port: int, shared_port: bool = False) -> None:
    """As `run`, for an application that is made already.

    Raises:
        ConfigError: the address cannot be had.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    listening = _listen(host, port, shared=shared_port)
    bound = listening.getsockname()
    print(f"http://{bound[0]}:{bound[1]}/", flush=True)  # noqa: T201 (tells where it listens)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # its lines carry addresses and queries; `Face` writes others
            server_header=False,
            proxy_headers=False,  # `Proxies` takes them, from addresses that the settings name
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=GRACE,
        )
    )

    def end(*_: object) -> None:
        server.should_exit = True

    # uvicorn puts handlers of its own in front and, when it has ended, gives the signal back to these: with
    # the default ones a graceful end would look like a death by signal.
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, end)
    server.run(sockets=[listening])


def _listen(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)  # from here on callers wait instead of being refused
    except OSError as error:
        listening.close()
        raise ConfigError(error.strerror or "cannot listen there", file=f"{host}:{port}") from error
    return listening
