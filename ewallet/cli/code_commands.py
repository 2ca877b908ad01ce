"""`ewallet code issue`, `show`, `paper`, `display`, `supply`, and `ewallet gate`."""

from __future__ import annotations

import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ewallet.cli.exits import Exit, report
from ewallet.errors import ConfigError, NotFound, PrintError, RecordError, Refused
from ewallet.reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ewallet.code.challenge import CheckedChallenge
    from ewallet.code.wallet import Wallet
    from ewallet.formats.qr import Medium
    from ewallet.trust.scenes import Scene
    from ewallet.trust.trust import Trust

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_GIVEN: Final = click.Path(path_type=Path, dir_okay=False, exists=True)


def _password(file: Path | None, what: str) -> str:
    if file is not None:
        return file.read_text().rstrip("\r\n")
    return str(click.prompt(f"Password of the {what}", hide_input=True, err=True))


@click.group()
def code() -> None:
    """Issue passes into a wallet file, show rotating codes from it, make paper, display and supply codes."""


def _attribute(given: str) -> tuple[str, Any]:
    name, separator, value = given.partition("=")
    if not separator:
        raise click.UsageError("--attribute takes NAME=VALUE, such as resident=true")
    if name == "portrait_digest":
        return name, Path(value).read_bytes()
    return name, {"true": True, "false": False}.get(value, value)


@code.command()
@click.option("--key", "key_file", required=True, type=_GIVEN, help="Key of the code authority (PKCS#8).")
@click.option("--name", help="URI of the code authority.")
@click.option("--wallet", "wallet_file", required=True, type=_FILE, help="Wallet file to add to, or to make.")
@click.option("--subject", required=True, help="The authority's identifier of the person; stays with it.")
@click.option("--kind", default="person", show_default=True)
@click.option("--scene", "scenes", multiple=True, required=True, help="May be given several times.")
@click.option("--attribute", "attributes", multiple=True, help="NAME=VALUE; portrait_digest=FILE.")
@click.option("--count", default=8, show_default=True, type=click.IntRange(1, 512))
@click.option("--assurance", default="substantial", show_default=True)
@click.option("--secret-file", type=_GIVEN, help="Secret for pseudonyms, 32 bytes or more.")
@click.option("--password-file", type=_GIVEN, help="Password of the key.")
@click.option("--wallet-password-file", type=_GIVEN, help="Password of the wallet.")
def issue(
    key_file: Path,
    name: str | None,
    wallet_file: Path,
    subject: str,
    kind: str,
    scenes: tuple[str, ...],
    attributes: tuple[str, ...],
    count: int,
    assurance: str,
    secret_file: Path | None,
    password_file: Path | None,
    wallet_password_file: Path | None,
) -> int:
    """Issue passes to fresh software keys of a wallet file: authority and phone in one, for trials."""
    from ewallet.code import possession  # noqa: PLC0415 (this command only)
    from ewallet.code.authority import CodeAuthority  # noqa: PLC0415 (this command only)
    from ewallet.code.wallet import Wallet  # noqa: PLC0415 (this command only)
    from ewallet.keys import SigningKey  # noqa: PLC0415 (this command only)

    now = datetime.now(UTC)
    signer = SigningKey.load(key_file, _password(password_file, "key"))
    wallet_password = _password(wallet_password_file, "wallet")
    wallet = Wallet.open(wallet_file, wallet_password) if wallet_file.exists() else Wallet()
    authority = CodeAuthority(
        signer=signer, name=name, secret=secret_file.read_bytes() if secret_file else None
    )
    devices = [SigningKey.generate(signer.public_key.suite) for _ in range(count)]
    nonce = authority.challenge(now)
    proven = [
        (device.public_key, possession.prove(device, authority=authority.name, nonce=nonce))
        for device in devices
    ]
    try:
        issued = authority.issue_passes(
            proven,
            subject=subject,
            kind=kind,
            scenes=scenes,
            attributes=dict(map(_attribute, attributes)),
            assurance=assurance,
            now=now,
        )
    except RecordError as error:
        return report(str(error), "see the scenes of the trust lists", Exit.USAGE)
    wallet.forget(now=now)
    for made, device in zip(issued, devices, strict=True):
        wallet.add(made, device)
    wallet.save(wallet_file, wallet_password)
    end = datetime.fromtimestamp(issued[0].ends_at, UTC)
    print(f"{len(issued)} passes for {', '.join(sorted(set(scenes)))} until {end:%Y-%m-%d %H:%M} UTC")
    print(f"wallet  {wallet_file}  (encrypted; software keys: for development, not for production)")
    return Exit.ACCEPTED


@code.command()
@click.option("--wallet", "wallet_file", required=True, type=_GIVEN)
@click.option("--scene", help="Scene to show the code in.")
@click.option("--venue", default="", help="URI of the place; may be left out where the scene's rule allows.")
@click.option("--challenge", "question", help="Text EWQ of the verifier's question; needs --trust.")
@click.option("--disclose", multiple=True, help="Attribute to disclose; may be given several times.")
@click.option("--trust", "bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--state", type=click.Path(path_type=Path), help="Where verified lists are kept.")
@click.option("--watch", is_flag=True, help="Draw it in the terminal and sign anew every interval.")
@click.option("--large", is_flag=True, help="Drawn twice as large, for people who see badly.")
@click.option("--interval", default=10, show_default=True, type=click.IntRange(1, 30))
@click.option("--png", type=_FILE)
@click.option("--svg", type=_FILE)
@click.option("--yes", is_flag=True, help="Answer a challenge without asking.")
@click.option("--password-file", type=_GIVEN, help="Password of the wallet.")
def show(
    wallet_file: Path,
    scene: str | None,
    venue: str,
    question: str | None,
    disclose: tuple[str, ...],
    bundle: Path | None,
    state: Path | None,
    watch: bool,  # noqa: FBT001 (a flag of the command line)
    large: bool,  # noqa: FBT001 (same)
    interval: int,
    png: Path | None,
    svg: Path | None,
    yes: bool,  # noqa: FBT001 (a flag of the command line)
    password_file: Path | None,
) -> int:
    """Show a code, once as text (and picture), or rotating in the terminal; or answer a challenge."""
    from ewallet.code.wallet import Wallet  # noqa: PLC0415 (this command only)

    if (scene is None) == (question is None):
        raise click.UsageError("give either --scene or --challenge")
    password = _password(password_file, "wallet")
    wallet = Wallet.open(wallet_file, password)
    trust = _trust(bundle, state)
    try:
        if question is not None:
            text = _answer(wallet, question, trust, disclose, yes=yes)
        else:
            rules = _scene(scene or "", trust)
            text = _code(wallet, rules, venue, disclose)
    except Refused as refused:
        reason = REASONS[refused.reason]
        return report(f"{refused.reason}: {reason.en}", reason.advice_en, Exit.REJECTED)
    except NotFound as error:
        return report(str(error), "issue passes with 'ewallet code issue'", Exit.ENVIRONMENT)
    wallet.save(wallet_file, password)
    _draw(text, png, svg, large=large)
    if not watch or question is not None:
        if large:
            click.echo(draw_in_terminal(text, large=True), err=True)
        print(text)
        return Exit.ACCEPTED
    _watch(lambda: _code(wallet, rules, venue, disclose), rules, disclose, interval, large=large)
    return Exit.ACCEPTED


def _trust(bundle: Path | None, state: Path | None) -> Trust | None:
    if bundle is None:
        return None
    from ewallet.cli.verify_command import state_directory  # noqa: PLC0415 (with lists only)
    from ewallet.verify.counter import open_trust  # noqa: PLC0415 (with lists only)

    place = (state or state_directory()) / "wallet"
    return open_trust(bundle, state=place, now=datetime.now(UTC))


def _scene(name: str, trust: Trust | None) -> Scene:
    from ewallet.trust.scenes import builtin_scenes  # noqa: PLC0415 (this command only)

    scenes: Mapping[str, Scene] = builtin_scenes() if trust is None else trust.scenes
    if name not in scenes:
        raise click.UsageError(f"no such scene: {name}; there are {', '.join(sorted(scenes))}")
    return scenes[name]


def _code(wallet: Wallet, scene: Scene, venue: str, disclose: tuple[str, ...]) -> str:
    from ewallet.code import rotating  # noqa: PLC0415 (this command only)

    now = datetime.now(UTC)
    if scene.challenge:
        raise Refused("code.challenge", "this scene asks first")
    audience = rotating.audience_of(scene, venue=venue)
    made, device = wallet.choose(scene.id, audience=audience, now=now)
    rotating.check_showing(made, scene, disclose=disclose, now=now)
    return rotating.show(made, device, audience=audience, now=now, disclose=disclose)


def _answer(
    wallet: Wallet, question: str, trust: Trust | None, disclose: tuple[str, ...], *, yes: bool
) -> str:
    from ewallet.code import challenge, rotating  # noqa: PLC0415 (this command only)

    if trust is None:
        raise click.UsageError("a challenge is checked against trust lists: give --trust DIR")
    now = datetime.now(UTC)
    asked = challenge.check_challenge(question, trust, now=now)
    click.echo(_who_asks(asked, disclose), err=True)
    if not yes:
        click.confirm("Answer?", abort=True, err=True)
    made, device = wallet.choose(asked.scene.id, audience=asked.venue, now=now)
    return rotating.answer(made, device, challenge=asked, disclose=disclose, now=datetime.now(UTC))


def _who_asks(asked: CheckedChallenge, disclose: tuple[str, ...]) -> str:
    name = asked.asker.names.get("zh") or asked.asker.uri
    wants = ", ".join(sorted(asked.attributes)) or "nothing but the code"
    return (
        f"{name} ({asked.asker.uri}) asks at {asked.venue}\n"
        f"scene {asked.scene.id}; asks for: {wants}; will be shown: {', '.join(disclose) or 'nothing'}"
    )


_BOX: Final = 8
_LARGE_BOX: Final = 24
"""Pixels for a module of an ordinary and of a large PNG."""


def _draw(
    text: str, png: Path | None, svg: Path | None, *, large: bool = False, medium: Medium = "screen"
) -> None:
    if png is None and svg is None:
        return
    from ewallet.code.sheet import CARD_MODULE_MM, LARGE_MODULE_MM  # noqa: PLC0415 (pictures only)
    from ewallet.formats.qr import qr_png, qr_svg  # noqa: PLC0415 (Pillow)

    if png is not None:
        png.write_bytes(qr_png(text, medium=medium, box=_LARGE_BOX if large else _BOX))
    if svg is not None:
        svg.write_text(qr_svg(text, medium=medium, module_mm=LARGE_MODULE_MM if large else CARD_MODULE_MM))


_HALVES: Final = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}


def draw_in_terminal(text: str, *, large: bool = False) -> str:
    """The QR code of a text in half blocks, light modules drawn, for a dark terminal.

    Args:
        text: what to encode.
        large: each module two columns wide and one line high instead of one by half.
    """
    from ewallet.formats.qr import QUIET_ZONE, matrix  # noqa: PLC0415 (Pillow)

    rows = matrix(text)
    side = len(rows) + 2 * QUIET_ZONE
    blank = [False] * side
    padding = [False] * QUIET_ZONE
    grid = [blank] * QUIET_ZONE + [padding + row + padding for row in rows] + [blank] * QUIET_ZONE
    if large:
        return "\n".join("".join("  " if dark else "██" for dark in row) for row in grid)
    if len(grid) % 2:
        grid.append(blank)
    return "\n".join(
        "".join(_HALVES[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(grid[::2], grid[1::2], strict=True)
    )


def _watch(make: Any, scene: Scene, disclose: tuple[str, ...], interval: int, *, large: bool) -> None:
    words = f"{scene.names.get('zh', scene.id)} · {scene.id}; shown: {', '.join(disclose) or 'nothing more'}"
    try:
        while True:
            picture = draw_in_terminal(make(), large=large)
            if shutil.get_terminal_size().columns < len(picture.splitlines()[0]):
                words = "(the terminal is too narrow for the code)"
            for left in range(interval, 0, -1):
                print(f"\033[H\033[2J{picture}\n{words}\n{left:3d} s", flush=True)
                time.sleep(1)
    except KeyboardInterrupt:
        print()


# --- paper and display codes --------------------------------------------------------------------------------


def _status(command: Any) -> Any:
    """Options that paper and display codes share: who signs, and where their status stands."""
    for option in (
        click.option("--password-file", type=_GIVEN, help="Password of the key."),
        click.option("--status-idx", required=True, type=click.IntRange(0), help="Its place in that list."),
        click.option("--status-uri", required=True, help="Status list that tells whether it is revoked."),
        click.option("--issuer", required=True, help="URI of the code authority on the trust lists."),
        click.option("--key", "key_file", required=True, type=_GIVEN, help="Key of the code authority."),
    ):
        command = option(command)
    return command


@code.command()
@_status
@click.option("--issuer-name", required=True, help="The authority's name, as it stands on the sheet.")
@click.option("--masked-name", required=True, help="Masked name of the person, such as 王*芳.")
@click.option("--kind", default="senior", show_default=True)
@click.option("--scene", "scenes", multiple=True, required=True, help="May be given several times.")
@click.option("--portrait", type=_GIVEN, help="Picture file, with the person's consent: its digest goes in.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 366))
@click.option("--font", "font_files", type=_GIVEN, multiple=True, help="Font for rare characters.")
@click.option("--trust", "bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--state", type=click.Path(path_type=Path), help="Where verified lists are kept.")
@click.option("--card", type=_FILE, help="Write the card (PDF) here.")
@click.option("--large", type=_FILE, help="Write the large sheet (PDF) here.")
def paper(
    key_file: Path,
    issuer: str,
    issuer_name: str,
    status_uri: str,
    status_idx: int,
    masked_name: str,
    kind: str,
    scenes: tuple[str, ...],
    portrait: Path | None,
    days: int,
    font_files: tuple[Path, ...],
    bundle: Path | None,
    state: Path | None,
    card: Path | None,
    large: Path | None,
    password_file: Path | None,
) -> int:
    """Make a paper code for a person without a phone: its text, and a card or a large sheet to print."""
    from ewallet.code.paper import make_paper  # noqa: PLC0415 (this command only)
    from ewallet.formats.statuslist import StatusReference  # noqa: PLC0415 (this command only)
    from ewallet.keys import SigningKey  # noqa: PLC0415 (this command only)

    trust = _trust(bundle, state)
    chosen = [_scene(name, trust) for name in scenes]
    now = datetime.now(UTC)
    try:
        text = make_paper(
            SigningKey.load(key_file, _password(password_file, "key")),
            issuer=issuer,
            kind=kind,
            masked_name=masked_name,
            scenes=chosen,
            status=StatusReference(idx=status_idx, uri=status_uri),
            portrait=portrait.read_bytes() if portrait else None,
            now=now,
            until=now + timedelta(days=days),
        )
        _sheets(text, issuer_name, chosen, font_files, card=card, large=large, now=now)
    except (RecordError, PrintError) as error:
        return report(str(error), "see the scenes of the trust lists, and --font", Exit.USAGE)
    print(text)
    return Exit.ACCEPTED


def _sheets(
    text: str,
    issuer_name: str,
    scenes: list[Scene],
    font_files: tuple[Path, ...],
    *,
    card: Path | None,
    large: Path | None,
    now: datetime,
) -> None:
    if card is None and large is None:
        return
    from ewallet.code.sheet import print_paper  # noqa: PLC0415 (who prints)
    from ewallet.formats.typeset import Font  # noqa: PLC0415 (who prints)
    from ewallet.licenses.render import FONT  # noqa: PLC0415 (who prints)

    given: dict[str, Any] = {
        "issuer_name": issuer_name,
        "scenes": {scene.id: scene for scene in scenes},
        "fonts": [Font.load(each) for each in (FONT, *font_files)],
        "now": now,
    }
    # Both are set before either is written: a code too large for the card leaves no half of the job.
    small = print_paper(text, size="card", **given) if card else b""
    big = print_paper(text, size="large", **given) if large else b""
    if card is not None:
        card.write_bytes(small)
    if large is not None:
        large.write_bytes(big)


@code.command()
@_status
@click.option("--uscc", required=True, help="Unified social credit code.")
@click.option("--name", required=True, help="Registered name.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 1830))
@click.option("--large", is_flag=True, help="Pictures three times (PNG) or twice (SVG) as large.")
@click.option("--png", type=_FILE)
@click.option("--svg", type=_FILE)
def display(
    key_file: Path,
    issuer: str,
    status_uri: str,
    status_idx: int,
    uscc: str,
    name: str,
    days: int,
    large: bool,  # noqa: FBT001 (a flag of the command line)
    png: Path | None,
    svg: Path | None,
    password_file: Path | None,
) -> int:
    """Make an enterprise's display code to hang up: public facts and their status; presents nobody."""
    from ewallet.code.display import make_display  # noqa: PLC0415 (this command only)
    from ewallet.formats.statuslist import StatusReference  # noqa: PLC0415 (this command only)
    from ewallet.keys import SigningKey  # noqa: PLC0415 (this command only)
    from ewallet.licenses.numbers.uscc import validate  # noqa: PLC0415 (this command only)

    now = datetime.now(UTC)
    try:
        text = make_display(
            SigningKey.load(key_file, _password(password_file, "key")),
            issuer=issuer,
            uscc=validate(uscc),
            name=name,
            status=StatusReference(idx=status_idx, uri=status_uri),
            now=now,
            until=now + timedelta(days=days),
        )
    except RecordError as error:
        return report(str(error), "see 'ewallet code display --help'", Exit.USAGE)
    _draw(text, png, svg, large=large, medium="paper")
    print(text)
    return Exit.ACCEPTED


# --- supply codes -------------------------------------------------------------------------------------------


@code.command()
@click.option(
    "--key", "key_file", required=True, type=_GIVEN, help="Device key that the license is bound to."
)
@click.option("--authority", required=True, help="URI of the issuing authority on the trust lists.")
@click.option("--type", "type_", required=True, help="Type code of the license, or its short name.")
@click.option("--recipient", default="", help="URI of the only one who may use it; default: who scans it.")
@click.option("--life", default=120, show_default=True, type=click.IntRange(1, 300), help="Seconds.")
@click.option("--large", is_flag=True, help="Pictures three times (PNG) or twice (SVG) as large.")
@click.option("--png", type=_FILE)
@click.option("--svg", type=_FILE)
@click.option("--password-file", type=_GIVEN, help="Password of the key.")
def supply(
    key_file: Path,
    authority: str,
    type_: str,
    recipient: str,
    life: int,
    large: bool,  # noqa: FBT001 (a flag of the command line)
    png: Path | None,
    svg: Path | None,
    password_file: Path | None,
) -> int:
    """Make a supply code with a device key, for trials: a window retrieves the license with it, once."""
    from ewallet.keys import SigningKey  # noqa: PLC0415 (this command only)
    from ewallet.licenses.catalog import Catalog  # noqa: PLC0415 (this command only)
    from ewallet.licenses.supply_code import make_supply_code  # noqa: PLC0415 (this command only)

    known = Catalog.builtin().get(type_)
    text = make_supply_code(
        SigningKey.load(key_file, _password(password_file, "key")),
        authority=authority,
        type=known.code if known else type_,
        recipient=recipient,
        now=datetime.now(UTC),
        life=life,
    )
    _draw(text, png, svg, large=large)
    print(text)
    return Exit.ACCEPTED


@click.command()
@click.option("--trust", "bundle", required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--root", type=_FILE, help="Pin the first root of the trust lists to this file.")
@click.option("--policy", type=_FILE, help="Policy of this gate; default: in the bundle.")
@click.option("--state", type=click.Path(path_type=Path), help="Replay guard and trust state.")
@click.option(
    "--guard", "guard_url", default="file", show_default=True, help="file, memory, redis:// or SQL URL."
)
@click.option("--port", type=click.Path(path_type=Path), help="Serial port or pipe of the scanner.")
@click.option("--baud", default=9600, show_default=True, help="Speed of a serial port.")
@click.option("--name", "gate_name", default="gate", show_default=True, help="Name of this gate in its log.")
@click.option("--health", type=_FILE, help="File that is touched while the gate is alive.")
@click.option("--key", "key_file", type=_GIVEN, help="Key for questions, where the scene requires them.")
@click.option("--issuer", default="", help="URI of this verifier on the trust lists, with --key.")
@click.option("--password-file", type=_GIVEN, help="Password of the key.")
def gate(
    bundle: Path,
    root: Path | None,
    policy: Path | None,
    state: Path | None,
    guard_url: str,
    port: Path | None,
    baud: int,
    gate_name: str,
    health: Path | None,
    key_file: Path | None,
    issuer: str,
    password_file: Path | None,
) -> int:
    """Run a gate: read codes from a scanner (standard input or --port), print one line of JSON for each.

    The bundle is loaded anew when it changes. Where the scene requires a challenge, a line with `question` is
    printed first and after each answer: show it to the holder.
    """
    from ewallet.cli.gate import (  # noqa: PLC0415 (gates only)
        Gate,
        open_guard,
        questioner,
        run,
        set_up_serial,
    )
    from ewallet.cli.verify_command import state_directory  # noqa: PLC0415 (gates only)

    place = state or state_directory()
    place.mkdir(parents=True, exist_ok=True)
    ask = None
    if key_file is not None:
        ask = questioner(key_file, _password(password_file, "key"), issuer)
    try:
        guard = open_guard(guard_url, place, now=datetime.now(UTC))
        here = Gate(
            bundle, root=root, policy=policy, state=place, guard=guard, name=gate_name, health=health, ask=ask
        )
        here.load(datetime.now(UTC))
    except (ConfigError, ValueError) as error:
        return report(str(error), "see 'ewallet gate --help'", Exit.USAGE)
    except Refused as refused:
        return report(str(refused), REASONS[refused.reason].advice_en, Exit.ENVIRONMENT)
    if port is None:
        run(here, sys.stdin.fileno())
    else:
        with port.open("rb", buffering=0) as scanner:
            set_up_serial(scanner.fileno(), baud)
            run(here, scanner.fileno())
    return Exit.ACCEPTED
