"""`ewallet uses`: check the log of uses, end what is over, answer a person who asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ewallet.cli.exits import Exit, report
from ewallet.cli.verify_command import moment
from ewallet.errors import UseLogError

if TYPE_CHECKING:
    from ewallet.verify.receipts import UseLog


@click.group()
def uses() -> None:
    """The log of uses: check it, end what is over, answer a person who asks."""


def _open(place: str) -> UseLog:
    from ewallet.verify.receipts import UseLog  # noqa: PLC0415 (the cipher)

    return UseLog(place)


def use_log(_context: click.Context, _parameter: click.Parameter, place: str) -> str:
    """A log that exists: reading one must not make one.

    Raises:
        BadParameter: there is no such file.
    """
    if "://" not in place and not Path(place).is_file():
        raise click.BadParameter(f"there is no file {place}")
    return place


def use_logs(context: click.Context, parameter: click.Parameter, places: tuple[str, ...]) -> tuple[str, ...]:
    """Several of them.

    Raises:
        BadParameter: there is no such file.
    """
    return tuple(use_log(context, parameter, each) for each in places)


_log = click.argument("log", metavar="LOG", callback=use_log)


@uses.command()
@_log
@click.option("--witness", metavar="N:HASH", help="Number and hash (hex) of a record, from a receipt.")
def check(log: str, witness: str | None) -> int:
    """Verify the whole chain. Exit: 0 unbroken, 1 broken."""
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
def expire(log: str, now_text: str | None) -> int:
    """Destroy the keys of records whose retention is over; run it daily."""
    with _open(log) as found:
        print(f"{found.expire(moment(now_text))} records: nobody can tell any more whose they were")
    return Exit.ACCEPTED


@uses.command()
@_log
@click.argument("label")
@click.password_option("--value", prompt="Value", confirmation_prompt=False, help="Asked for, not echoed.")
def find(log: str, label: str, value: str) -> int:
    """Numbers of the records that speak of a value, such as '310105109000100.resident_id'."""
    with _open(log) as found:
        numbers = found.uses_of(label, value)
    print("\n".join(map(str, numbers)) if numbers else "none")
    return Exit.ACCEPTED
