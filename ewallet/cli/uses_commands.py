"""`ewallet uses`: check the log of uses, end what is over, answer a person who asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ewallet.cli.exits import Exit, report
from ewallet.cli.verify_command import moment

if TYPE_CHECKING:
    from ewallet.verify.receipts import UseLog


@click.group()
def uses() -> None:
    """The log of uses: check it, end what is over, answer a person who asks."""


def _open(path: Path) -> UseLog:
    from ewallet.verify.receipts import UseLog  # noqa: PLC0415 (the cipher)

    return UseLog(path)


_log = click.argument("log", type=click.Path(path_type=Path, exists=True, dir_okay=False))


@uses.command()
@_log
@click.option("--witness", metavar="N:HASH", help="Number and hash (hex) of a record, from a receipt.")
def check(log: Path, witness: str | None) -> int:
    """Verify the whole chain. Exit: 0 unbroken, 1 broken."""
    from ewallet.verify.receipts import UseLogError  # noqa: PLC0415

    held: tuple[int, bytes] | None = None
    if witness is not None:
        number, _, digest = witness.partition(":")
        try:
            held = int(number), bytes.fromhex(digest)
        except ValueError:
            return report("a witness is a number, a colon and a hash in hex", "", Exit.USAGE)
    with _open(log) as found:
        try:
            number_, head = found.check(witness=held)
        except UseLogError as error:
            return report(str(error), "keep the file as evidence; do not write to it", Exit.REJECTED)
    print(f"{number_} records, unbroken; head {head.hex()}")
    return Exit.ACCEPTED


@uses.command()
@_log
@click.option("--now", "now_text", help="As of this moment instead of the clock.")
def expire(log: Path, now_text: str | None) -> int:
    """Destroy the keys of records whose retention is over; run it daily."""
    with _open(log) as found:
        print(f"{found.expire(moment(now_text))} records: nobody can tell any more whose they were")
    return Exit.ACCEPTED


@uses.command()
@_log
@click.argument("label")
@click.password_option("--value", prompt="Value", confirmation_prompt=False, help="Asked for, not echoed.")
def find(log: Path, label: str, value: str) -> int:
    """Numbers of the records that speak of a value, such as '310105109000100.resident_id'."""
    with _open(log) as found:
        numbers = found.uses_of(label, value)
    print("\n".join(map(str, numbers)) if numbers else "none")
    return Exit.ACCEPTED
