"""`ewallet keygen` and `ewallet inspect`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from ewallet.cli.exits import Exit, report
from ewallet.errors import Malformed, Refused

_NOT_VERIFIED = "NOT VERIFIED: this only shows what was written; anybody could have written it."


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--suite", default="ES256", show_default=True, help="ES256, Ed25519 or SM2SM3.")
@click.option("--password-file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def keygen(path: Path, suite: str, password_file: Path | None) -> int:
    """Make a signing key and save it encrypted (PKCS#8) at PATH; the public key goes to PATH.jwk.json.

    The password is asked for, or read from --password-file. A key file is a software key: for development.
    """
    from ewallet.keys import SigningKey  # noqa: PLC0415 (keygen only)

    if path.exists():
        return report(f"{path} exists", "a key is never overwritten: choose another name", Exit.USAGE)
    password = (
        password_file.read_text().rstrip("\r\n")
        if password_file
        else click.prompt("Password", hide_input=True, confirmation_prompt=True)
    )
    if not password:
        return report("the password is empty", "a key is never saved in clear", Exit.USAGE)
    key = SigningKey.generate(suite)
    key.save(path, password)
    public = path.with_name(path.name + ".jwk.json")
    public.write_text(json.dumps(key.public_key.to_jwk(), indent=2) + "\n")
    print(f"software key  {path}  (encrypted; for development, not for production)")
    print(f"public key    {public}  kid {key.public_key.kid.hex()}")
    return Exit.ACCEPTED


@click.command()
@click.argument("thing", metavar="TEXT|FILE")
def inspect(thing: str) -> int:
    """Show what a code, credential, picture or PDF says. It verifies nothing."""
    print(_NOT_VERIFIED)
    try:
        for text in _texts(thing):
            print(json.dumps(_read(text), indent=2, ensure_ascii=False, default=_plain))
    except Refused as refused:
        print(_NOT_VERIFIED)
        return report(f"{refused.reason}: {refused.detail}", "", Exit.REJECTED)
    print(_NOT_VERIFIED)
    return Exit.ACCEPTED


def _texts(thing: str) -> list[str | bytes]:
    if len(thing) > 1024 or not os.path.isfile(thing):  # noqa: PTH113 (a long text is no path, and no error)
        return [thing]
    path = Path(thing)
    data = path.read_bytes()
    if data[:5] == b"%PDF-":
        from ewallet.formats.qr import read_pdf  # noqa: PLC0415
        from ewallet.formats.typeset import attachments  # noqa: PLC0415

        inside = [each for name, each in attachments(data).items() if name.endswith(".sdjwt")]
        return [*read_pdf(data), *(each.decode("ascii", "replace").strip() for each in inside)]
    if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".bmp", ".webp"}:
        from ewallet.formats.qr import read_image  # noqa: PLC0415

        found: list[str | bytes] = [*read_image(path)]
        if not found:
            raise Refused("code.unreadable", "no code in the picture")
        return found
    try:
        return [data.decode("ascii").strip()]
    except UnicodeDecodeError:
        return [data]


def _read(scanned: str | bytes) -> dict[str, Any]:
    """What an object says, without any check beyond its form."""
    from ewallet.formats import text  # noqa: PLC0415

    if isinstance(scanned, str) and "~" in scanned:
        return _sd_jwt(scanned)
    if isinstance(scanned, bytes):
        return _cbor("bytes", scanned)
    prefix, data = text.decode(scanned)
    return _cbor(prefix, data)


def _sd_jwt(token: str) -> dict[str, Any]:
    from ewallet.formats import sdjwt  # noqa: PLC0415
    from ewallet.wire import b64u_decode, decode_json  # noqa: PLC0415

    header = decode_json(b64u_decode(token.partition(".")[0]))
    bound = not token.endswith("~")
    profile = sdjwt.Profile(
        typ=header.get("typ") if isinstance(header, dict) else None, key_binding=bound, exp_required=False
    )
    parsed = sdjwt.parse(token, profile)
    return {
        "what": "SD-JWT with key binding" if bound else "SD-JWT",
        "header": header,
        "unverified_claims": parsed.unverified_claims,
        "disclosures": [decode_json(b64u_decode(each.decode("ascii"))) for each in parsed.disclosures],
        "key_binding": parsed.unverified_binding,
    }


def _cbor(what: str, data: bytes) -> dict[str, Any]:
    from ewallet.wire import decode_cbor  # noqa: PLC0415

    tags = frozenset((18, 60))
    message = decode_cbor(data, tags=tags, redacted=True)
    parts = getattr(message, "value", None)
    if not isinstance(parts, list | tuple) or len(parts) != 4:
        raise Malformed("no COSE_Sign1")
    protected, unprotected, payload, signature = parts
    header = decode_cbor(protected, tags=tags, redacted=True)
    found: dict[str, Any] = {
        "what": what,
        "protected": header,
        "unverified_claims": decode_cbor(payload, tags=tags, redacted=True),
        "signature": signature,
    }
    if 17 in unprotected:
        found["disclosures"] = [decode_cbor(each) for each in unprotected[17]]
    if 13 in header:
        found["protected"] = {key: value for key, value in header.items() if key != 13}
        inner_protected, inner_unprotected, inner_payload, _ = header[13].value
        found["credential"] = {
            "protected": decode_cbor(inner_protected),
            "unverified_claims": decode_cbor(inner_payload, tags=tags, redacted=True),
            "disclosures": [decode_cbor(each) for each in inner_unprotected.get(17, ())],
        }
    return {key: _printable(value) for key, value in found.items()}


def _printable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_printable(each) for each in value]
    if hasattr(value, "items"):
        return {_name(key): _printable(each) for key, each in value.items()}
    return value


def _name(key: object) -> str:
    return "redacted" if getattr(key, "value", None) == 59 else str(key)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
