"""`ewallet doctor`: clock, lists, keys and optional parts of this machine, each with what to do about it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ewallet.cli.exits import Exit
from ewallet.cli.verify_command import moment, state_directory
from ewallet.errors import ConfigError, EwalletError, KeyMaterialError, Refused, TrustError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ewallet.keys import PublicKey
    from ewallet.verify.terminal import Terminal

_PARTS: Final = {
    "scan": (("zxingcpp", "pypdfium2"), "read pictures and PDFs"),
    "print": (("typst", "pypdfium2"), "print licenses"),
    "service": (("fastapi", "uvicorn"), "serve the counter page and the HTTP API"),
    "pkcs11": (("pkcs11",), "sign with a token"),
    "postgres": (("psycopg",), "keep a register or guard in PostgreSQL"),
    "redis": (("redis",), "share a guard in Redis"),
    "fast": (("gmpy2",), "faster SM2 without libcrypto"),
}
"""Extra: its modules, and what it is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: what.
        state: `good`, `note` (works without it), `warning` (will stop working) or `bad`.
        text: what was found.
        advice: what to do; empty when it is good.
    """

    name: str
    state: str
    text: str
    advice: str = ""


_MARKS: Final = {"good": "✓", "note": "·", "warning": "!", "bad": "✗"}
_ORDER: Final = ("good", "note", "warning", "bad")


@click.command()
@click.option("--trust", "bundle", type=click.Path(path_type=Path, exists=True), help="Gate bundle.")
@click.option("--policy", type=click.Path(path_type=Path), help="Policy of this counter.")
@click.option("--state", type=click.Path(path_type=Path), help="Replay guard and trust state.")
@click.option(
    "--key", "keys", multiple=True, type=click.Path(path_type=Path), help="Key file; may be repeated."
)
@click.option("--now", "now_text", help="Look as of this moment instead of the clock.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def doctor(
    bundle: Path | None,
    policy: Path | None,
    state: Path | None,
    keys: tuple[Path, ...],
    now_text: str | None,
    as_json: bool,  # noqa: FBT001 (a flag of the command line)
) -> int:
    """Look at clock, lists, keys and optional parts, and say what to do.

    Exit: 0 all is well, 3 something will stop working, 1 something does not work.
    """
    now = moment(now_text)
    found = [*_machine(), *_parts()]
    place = state or state_directory()
    found.append(_state(place))
    terminal = None
    if bundle is not None:
        terminal, lists = _bundle(bundle, place, policy, now)
        found.extend(lists)
    for key in keys:
        found.extend(_key(key, terminal, now))
    worst = max((each.state for each in found), key=_ORDER.index)
    if as_json:
        print(json.dumps([asdict(each) for each in found], ensure_ascii=False))
    else:
        for each in found:
            print(f"{_MARKS[each.state]} {each.name:<16} {each.text}")
            if each.advice:
                print(f"  {'':<16} → {each.advice}")
    return {"warning": Exit.UNDECIDED, "bad": Exit.REJECTED}.get(worst, Exit.ACCEPTED)


def _machine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(name="python", state="good", text=version)
    from ewallet.keys import SigningKey  # noqa: PLC0415 (loads the backends)

    for suite in ("ES256", "Ed25519", "SM2SM3"):
        try:
            key = SigningKey.generate(suite)
            good = key.public_key.verify(key.sign(b"doctor"), b"doctor")
        except EwalletError as error:
            yield Finding(
                name=suite,
                state="bad",
                text=str(error),
                advice="install OpenSSL 3's libcrypto, or the extra 'fast'",
            )
            continue
        state, text = ("good", "signs and verifies") if good else ("bad", "does not verify what it signed")
        yield Finding(name=suite, state=state, text=text)


def _parts() -> Iterator[Finding]:
    for extra, (modules, what) in _PARTS.items():
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            advice = f"to {what}: pip install 'ewallet[{extra}]'"
            yield Finding(name=extra, state="note", text=f"without {', '.join(missing)}", advice=advice)
        else:
            yield Finding(name=extra, state="good", text=what)


def _state(place: Path) -> Finding:
    try:
        place.mkdir(parents=True, exist_ok=True)
        probe = place / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding(
            name="state",
            state="bad",
            text=f"{place}: {error.strerror}",
            advice="name another one with --state",
        )
    return Finding(name="state", state="good", text=str(place))


def _bundle(
    bundle: Path, place: Path, policy: Path | None, now: datetime
) -> tuple[Terminal | None, list[Finding]]:
    from ewallet.verify.terminal import Place, Terminal  # noqa: PLC0415

    try:
        terminal = Terminal(Place(bundle=bundle, state=place, policy=policy), guard=_NoGuard(), now=now)
    except (ConfigError, TrustError) as error:
        return None, [Finding(name="lists", state="bad", text=str(error), advice="check bundle and policy")]
    said = terminal.describe(now)
    if terminal.problem:
        text = f"the lists were refused: {terminal.problem}"
        return terminal, [Finding(name="lists", state="bad", text=text, advice="get a fresh bundle")]
    return terminal, [*_lists(said), *_policy(said)]


def _lists(said: dict[str, object]) -> Iterator[Finding]:
    trust, clock, status = said["trust"], said["clock"], said["status"]
    assert isinstance(trust, dict)
    assert isinstance(clock, dict)
    assert isinstance(status, dict)
    if clock["ok"]:
        yield Finding(name="clock", state="good", text="not behind the lists")
    else:
        text = f"{clock['behind']} s behind the lists"
        yield Finding(name="clock", state="bad", text=text, advice="set the clock of this terminal")
    hours = trust["age"] / 3600
    fresh = Finding(name="lists", state="good", text=f"signed {hours:.1f} h ago, root {trust['root'][:16]}…")
    yield (
        fresh
        if trust["fresh"]
        else Finding(
            name="lists",
            state="warning",
            text=f"signed {hours:.0f} h ago",
            advice="go online, or bring a fresh bundle",
        )
    )
    if status["lists"] is None:
        yield Finding(name="status lists", state="good", text="from a mirror, when they are needed")
    elif not status["lists"]:
        yield Finding(
            name="status lists",
            state="warning",
            text="none in the bundle",
            advice="licenses will be undecided",
        )
    else:
        old = status["oldest"] / 3600
        degraded = "status.stale" in said["degraded"]  # type: ignore[operator]
        yield Finding(
            name="status lists",
            state="warning" if degraded else "good",
            text=f"{status['lists']}, the oldest signed {old:.1f} h ago",
            advice="refresh the status lists" if degraded else "",
        )


def _policy(said: dict[str, object]) -> Iterator[Finding]:
    policy = said["policy"]
    assert isinstance(policy, dict)
    asks = ", asks first" if policy["challenge"] else ""
    yield Finding(name="policy", state="good", text=f"{policy['scene']} at {policy['venue']}{asks}")


class _NoGuard:
    """A guard for looking only: it refuses to spend."""

    durable: Final = True
    level: Final = "shared"

    def spend(self, spendings: object, *, now: datetime) -> None:
        del spendings, now
        raise Refused("replay.unavailable", "nothing is verified here")


def _key(path: Path, terminal: Terminal | None, now: datetime) -> Iterator[Finding]:
    try:
        mode = path.stat().st_mode & 0o077
    except OSError as error:
        yield Finding(name="key", state="bad", text=f"{path}: {error.strerror}")
        return
    if mode and os.name == "posix":
        yield Finding(
            name="key", state="warning", text=f"{path} can be read by others", advice=f"chmod 600 {path}"
        )
    public = _public(path)
    if public is None:
        text = f"{path}: no {path.name}.jwk.json beside it"
        yield Finding(
            name="key", state="note", text=text, advice="keygen writes it; the key itself stays closed"
        )
        return
    kind = "software key: for development"
    yield Finding(
        name="key", state="note", text=f"{path.name} {public.suite.name} {public.kid.hex()}, {kind}"
    )
    if terminal is None or terminal.verifier is None:
        return
    from ewallet.trust.entries import Service  # noqa: PLC0415

    trust = terminal.verifier.trust
    listed = [
        each for service in Service for each in trust.keys(service, kid=public.kid) if each.key == public
    ]
    if not listed:
        yield Finding(
            name="key", state="warning", text="the lists do not name it", advice="have it listed first"
        )
    for each in listed:
        uri = each.entity.uri
        try:
            trust.decide(each, signed_at=now, now=now)
        except Refused as refused:
            text = f"{each.service.value} of {uri}: {refused.reason}"
            yield Finding(name="key", state="bad", text=text, advice=refused.detail)
        else:
            yield Finding(name="key", state="good", text=f"listed: {each.service.value} of {uri}")


def _public(path: Path) -> PublicKey | None:
    from ewallet.keys import PublicKey  # noqa: PLC0415

    try:
        return PublicKey.from_jwk(json.loads(path.with_name(path.name + ".jwk.json").read_text()))
    except (OSError, ValueError, KeyMaterialError):
        return None
