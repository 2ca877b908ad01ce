"""Makes the environment of the peers and asks them: `.venv-peers`, next to the project's own.

Run: `python scripts/interop.py` makes the environment if it is missing and prints where it is.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("EWALLET_PEERS", ROOT / ".venv-peers"))
PACKAGES = ("cwt>=3.3,<4", "joserfc>=1.8,<2", "pycose>=1.1,<2", "sd-jwt>=0.10,<0.11")

DONE = PEERS / ".complete"


def python() -> Path:
    """The interpreter of the peers' environment."""
    return PEERS / "bin" / "python"


def complete() -> bool:
    """Whether the environment is there, with the packages named here."""
    return DONE.is_file() and DONE.read_text() == "\n".join(PACKAGES)


def make() -> Path:
    """Makes the environment if it is not complete.

    Raises:
        subprocess.CalledProcessError: a package could not be installed.
    """
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes may come at once
        if not complete():
            venv.create(PEERS, with_pip=True, clear=True)
            subprocess.run([python(), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
            DONE.write_text("\n".join(PACKAGES))
    return python()


def ask(question: dict[str, Any]) -> dict[str, Any]:
    """What the peers read in our tokens, and the tokens that they write.

    Raises:
        subprocess.CalledProcessError: a peer refused; its message is in `stderr`.
    """
    answer = subprocess.run(
        [python(), Path(__file__).with_name("interop_peer.py")],
        input=json.dumps(question),
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


if __name__ == "__main__":
    print(make())
    sys.exit(0)
