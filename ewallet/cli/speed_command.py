"""`ewallet speed`: the figures of this machine, as `openssl speed` gives them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import click

from ewallet.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FIELDS: Final[dict[Any, Any]] = {f"field_{n}": "示例内容" * 4 for n in range(10)}


@click.command()
@click.option("--seconds", default=0.5, show_default=True, help="How long each figure is measured.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each figure.")
def speed(seconds: float, as_json: bool) -> int:  # noqa: FBT001 (a flag of the command line)
    """Measure what signing and verifying cost here, with all checks on and ten disclosures."""
    if not as_json:
        print(f"{'operation':34} {'microseconds':>12} {'per second':>11}")
    for name, operation in _operations():
        each = _measure(operation, seconds)
        if as_json:
            print(json.dumps({"operation": name, "us": round(each * 1e6, 2)}), flush=True)
        else:
            print(f"{name:34} {each * 1e6:12.1f} {1 / each:11.0f}", flush=True)
    return Exit.ACCEPTED


def _measure(operation: Callable[[], object], budget: float) -> float:
    """Seconds for one call: the least of five portions of the time allowed."""
    operation()
    begin = perf_counter()
    operation()
    loops = max(1, int(budget / 5 / max(perf_counter() - begin, 1e-7)))
    best = float("inf")
    for _ in range(5):
        begin = perf_counter()
        for _ in range(loops):
            operation()
        best = min(best, (perf_counter() - begin) / loops)
    return best


def _operations() -> Iterator[tuple[str, Callable[[], object]]]:
    from ewallet.errors import KeyMaterialError, SignerError  # noqa: PLC0415 (loaded when it runs)
    from ewallet.keys import SUITES, SigningKey  # noqa: PLC0415

    message = bytes(600)
    for suite in SUITES.values():
        if not suite.can_sign:
            continue
        try:
            key = SigningKey.generate(suite.name)
            signature = key.sign(message)
        except (KeyMaterialError, SignerError) as error:
            click.echo(f"notice: {suite.name}: {error}", err=True)
            continue
        public = key.public_key
        yield f"{suite.name} sign", partial(key.sign, message)
        yield f"{suite.name} verify", partial(public.verify, signature, message)
        yield from _credentials(suite.name, key)


def _credentials(name: str, key: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    from ewallet.formats import sdcwt, sdjwt  # noqa: PLC0415
    from ewallet.formats.statuslist import StatusReference  # noqa: PLC0415
    from ewallet.keys import SigningKey  # noqa: PLC0415
    from ewallet.moments import seconds  # noqa: PLC0415

    now = datetime.now(UTC)
    at = seconds(now)
    device = SigningKey.generate(name)
    place = "https://sh.ewallet.example/v/1"
    status = StatusReference(idx=1, uri="https://sh.ewallet.example/status/1")
    vct = "https://ewallet.example/vct/example/1"
    parts: dict[str, Any] = {"disclosable": _FIELDS, "signer": key, "decoys": 6, "vct": vct, "status": status}

    def issue_jwt() -> str:
        claims = {"iss": place, "iat": at, "exp": at + 3600, **_FIELDS}
        return sdjwt.issue(claims, typ=sdjwt.DOCUMENT_CREDENTIAL, **parts)

    def issue_cwt() -> bytes:
        claims: dict[int | str, Any] = {1: place, 6: at, 4: at + 3600, **_FIELDS}
        return sdcwt.issue(claims, holder_key=device.public_key, **parts)

    document, content = issue_jwt(), sdjwt.Profile(typ=sdjwt.DOCUMENT_CREDENTIAL, key_binding=False)
    shown = sdcwt.present(issue_cwt(), device, audience=place, now=now, disclose=tuple(_FIELDS))
    held = sdcwt.Profile()
    yield f"{name} SD-JWT issue", issue_jwt
    yield f"{name} SD-JWT verify", lambda: sdjwt.verify(document, key.public_key, content, now=now)
    yield f"{name} SD-CWT issue", issue_cwt
    yield (
        f"{name} SD-CWT + key binding verify",
        lambda: sdcwt.verify_kbt(shown, key.public_key, held, now=now, audience=place),
    )
