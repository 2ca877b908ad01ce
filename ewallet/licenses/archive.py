"""Archive packages: one zip for each license that proves itself years later, without the register.

```
manifest.jws              signed list of all other files with their SHA-256 (typ ewallet-archive+jws)
license.json              identifiers, number, holders, state, validity of every version
history.json              every event
metadata.json             the newest version under the keys of GB/T 36903
credentials/001.sdjwt     the document credential of each version
keys.json                 public keys that signed them (JWK Set)
printed/...               printed forms, where they were given
status/...                signed status lists of the day of archiving, where they were given
evidence/statements/...   register statements that were made at issuing
evidence/...              further proofs (time stamps), where they were given
```

A package shows that nothing was changed since it was signed. Whether the keys inside were the authority's is
for trust lists to say: `check_package` takes the keys that the caller trusts.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import KeyMaterialError, Malformed, Refused
from ewallet.formats import jose, sdjwt
from ewallet.keys import SUITES, PublicKey
from ewallet.licenses import witnessing
from ewallet.licenses.exchange import to_metadata
from ewallet.licenses.license import face_digest
from ewallet.licenses.lifecycle import TRANSITIONS, EventKind, State
from ewallet.moments import instant, seconds
from ewallet.wire import b64u_decode, decode_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from ewallet.keys import Signer
    from ewallet.licenses.catalog import Catalog
    from ewallet.licenses.lifecycle import Event
    from ewallet.licenses.register import Register

TYP: Final = "ewallet-archive+jws"
MANIFEST: Final = "manifest.jws"
VERSION: Final = 1

MAX_PACKAGE: Final = 256 * 1024 * 1024
"""Bytes that a package may unpack to: a hundred versions with printed forms stay below."""
MAX_FILES: Final = 2000
MAX_JSON: Final = 8 * 1024 * 1024

_PLACES: Final = ("printed", "status", "evidence")
_MANIFEST: Final = jose.Profile(typ=TYP, exp_required=False, limit=1 << 20)
_CREDENTIAL: Final = sdjwt.Profile(
    typ=sdjwt.DOCUMENT_CREDENTIAL,
    key_binding=False,
    exp_required=False,
    open_claims=frozenset(("authority", "area")),
    skew=10 * 366 * 86400,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What a package says, checked.

    Attributes:
        identifier: identifier of the newest version.
        state: state of the license when it was archived.
        versions: identifiers of all versions.
        events: number of events.
        archived_at: when it was signed.
        signer: thumbprint of the key that signed the manifest.
        trusted: whether all keys in it are among those that the caller trusts; None: no keys were given.
        files: path -> content.
    """

    identifier: str
    state: State
    versions: tuple[str, ...]
    events: int
    archived_at: datetime
    signer: bytes
    trusted: bool | None
    files: Mapping[str, bytes]


def write_package(
    register: Register,
    identifier: str,
    file: Path,
    *,
    catalog: Catalog,
    signer: Signer,
    issuer_keys: Iterable[PublicKey] = (),
    attachments: Mapping[str, bytes] | None = None,
    now: datetime,
) -> Path:
    """Writes the package of a license.

    Args:
        register: where it is recorded.
        identifier: of any of its versions.
        file: the zip to be written.
        catalog: its type.
        signer: key of the authority, service *licenses*.
        issuer_keys: keys of the authority that signed older versions.
        attachments: further files, under `printed/`, `status/` or `evidence/`.
        now: becomes the time of archiving.

    Returns:
        The file.

    Raises:
        NotFound: no such license.
        ValueError: an attachment outside of its places.
    """
    versions = register.versions(identifier)
    entry = register.entry(identifier)
    newest = versions[-1]
    keys = {key.kid: key for key in (*issuer_keys, signer.public_key)}
    files = {
        "license.json": _json(
            {
                "type": newest.type_code,
                "number": newest.number,
                "state": entry.state.value,
                "authority": newest.authority,
                "holders": [holder.to_claim() for holder in newest.holders],
                "versions": [
                    {
                        "identifier": item.identifier,
                        "version": item.version,
                        "replaces": item.replaces,
                        "issued_at": item.issued_at,
                        "face": list(item.fields),
                        "digest": item.digest_name,
                        "valid_from": item.valid_from.isoformat(),
                        "valid_until": item.valid_until.isoformat() if item.valid_until else None,
                    }
                    for item in versions
                ],
            }
        ),
        "history.json": _json([_event(event) for event in register.history(identifier)]),
        "metadata.json": _json(to_metadata(newest, catalog[newest.type_code], entry.state)),
        "keys.json": _json({"keys": [key.to_jwk() for key in keys.values()]}),
    }
    for item in versions:
        files[f"credentials/{item.version:03}.sdjwt"] = (item.document or "").encode()
    for name, content in witnessing.statement_files(register, identifier).items():
        files[f"{witnessing.PLACE}/{name}"] = content
    for name, content in (attachments or {}).items():
        if name.split("/")[0] not in _PLACES or not _plain(name):
            raise ValueError("an attachment stands under printed/, status/ or evidence/")
        files[name] = content
    manifest = {
        "v": VERSION,
        "identifier": newest.identifier,
        "iat": seconds(now),
        "files": {name: sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    files[MANIFEST] = jose.sign(jose.encode_json(manifest), signer, typ=TYP).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, now.astimezone(UTC).timetuple()[:6]), files[name])
    return file


def check_package(data: bytes, *, trusted: Collection[PublicKey] | None = None) -> Package:
    """Checks a package with nothing but itself.

    1. It unpacks within bounds and every file stands in the manifest with its digest, and the reverse.
    2. The manifest is signed by a key of the package.
    3. Every credential verifies as of its own time, and its face has the digest that it states.
    4. Every version names the one that it replaces.
    5. The history replays to the state that is stated.

    Args:
        data: the zip.
        trusted: keys that the caller knows to be the authority's, from trust lists.

    Raises:
        Refused: `credential.malformed`, `signature.issuer`, `issuer.key_unknown`, `disclosure.mismatch`.
    """
    files = _unpack(data)
    # 1, 2
    manifest, signer = _manifest(files)
    listed = manifest.get("files")
    found = {name: sha256(content).hexdigest() for name, content in files.items() if name != MANIFEST}
    if listed != found:
        raise Malformed("the files are not those of the manifest")
    keys = _keys(files)
    # 3, 4
    license_ = _read(files, "license.json", dict)
    identifiers: list[str] = []
    for item in _members(license_, "versions"):
        if item.get("replaces") != (identifiers[-1] if identifiers else item.get("replaces")):
            raise Malformed("a version that replaces another than the one before it")
        identifiers.append(_credential(files, item, keys))
    if not identifiers or identifiers[-1] != manifest.get("identifier"):
        raise Malformed("another license than the manifest's")
    # 5
    events = _read(files, "history.json", list)
    state = _replay(events)
    if state.value != license_.get("state"):
        raise Malformed("the history leads to another state")
    return Package(
        identifier=identifiers[-1],
        state=state,
        versions=tuple(identifiers),
        events=len(events),
        archived_at=instant(_whole(manifest.get("iat"))),
        signer=signer.thumbprint(),
        trusted=None if trusted is None else set(keys.values()) <= set(trusted),
        files=files,
    )


def _unpack(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            items = archive.infolist()
            names = [item.filename for item in items]
            if len(items) > MAX_FILES or len(set(names)) != len(names) or not all(map(_plain, names)):
                raise Malformed("a package with too many files, a file twice or a path that leads out")
            if sum(item.file_size for item in items) > MAX_PACKAGE:
                raise Malformed("a package that unpacks to too much")
            files = {}
            left = MAX_PACKAGE
            for item in items:
                with archive.open(item) as stream:
                    files[item.filename] = stream.read(left + 1)
                left -= len(files[item.filename])
                if left < 0:
                    raise Malformed("a package that unpacks to too much")
            return files
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, EOFError, ValueError, RuntimeError) as error:
        raise Malformed("not a package") from error
    except NotImplementedError as error:
        raise Malformed("a package that is compressed in another way") from error


def _plain(name: str) -> bool:
    steps = name.split("/")
    return bool(name) and "\\" not in name and all(step not in ("", ".", "..") for step in steps)


def _keys(files: Mapping[str, bytes]) -> dict[bytes, PublicKey]:
    try:
        found = [PublicKey.from_jwk(jwk) for jwk in _members(_read(files, "keys.json", dict), "keys")]
    except KeyMaterialError as error:
        raise Malformed("a key that is none") from error
    return {key.kid: key for key in found}


def _key(keys: Mapping[bytes, PublicKey], kid: str | None) -> PublicKey:
    try:
        return keys[b64u_decode(kid or "")]
    except KeyError:
        raise Refused("issuer.key_unknown", "the package lacks the key") from None


def _manifest(files: Mapping[str, bytes]) -> tuple[dict[str, Any], PublicKey]:
    if MANIFEST not in files:
        raise Malformed("a package without manifest")
    jws = jose.parse(files[MANIFEST], _MANIFEST)
    key = _key(_keys(files), jws.kid)
    jose.verify(jws, key)
    manifest = decode_json(jws.payload, limit=1 << 20)
    if not isinstance(manifest, dict) or manifest.get("v") != VERSION:
        raise Malformed("a manifest of another version")
    return manifest, key


def _credential(files: Mapping[str, bytes], item: Mapping[str, Any], keys: Mapping[bytes, PublicKey]) -> str:
    """Verifies one version's credential as of the time when it was signed; returns its identifier."""
    token = files.get(f"credentials/{_whole(item.get('version')):03}.sdjwt", b"")
    parsed = sdjwt.parse(token, _CREDENTIAL)
    key = _key(keys, parsed.kid)
    signed_at = instant(_whole(parsed.unverified_claims.get("iat")))
    claims = sdjwt.verify(token, key, _CREDENTIAL, now=signed_at).claims
    if claims.get("identifier") != item.get("identifier") or claims.get("version") != item.get("version"):
        raise Malformed("the credential of another version")
    _check_face(claims, item)
    return str(claims["identifier"])


def _check_face(claims: Mapping[str, Any], item: Mapping[str, Any]) -> None:
    """The face that is disclosed has the digest that is disclosed: nothing was left out of the package."""
    digest = next((suite.digest for suite in SUITES.values() if suite.hash == item.get("digest")), None)
    if digest is None:
        raise Malformed("a face digest of another kind")
    try:
        face = [(name, claims[name]) for name in item["face"]]
        salt, stated = b64u_decode(claims["face_salt"]), b64u_decode(claims["face_digest"])
        same = face_digest(face, salt, digest) == stated
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Malformed("a credential without the digest of its face") from error
    if not same:
        raise Refused("disclosure.mismatch", "the face is not the one that its digest states")


def _replay(events: list[Any]) -> State:
    state: State | None = None
    try:
        for event in events:
            kind = EventKind(event["kind"])
            if state is None:
                if kind not in (EventKind.ISSUE, EventKind.TRANSFER_IN):
                    raise Malformed("a history that does not begin with a birth")
                state = State.VALID
            else:
                state = TRANSITIONS[kind][state]
            if state.value != event["state"]:
                raise Malformed("a history that contradicts itself")
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed("not a history") from error
    if state is None:
        raise Malformed("an empty history")
    return state


def _read(files: Mapping[str, bytes], name: str, kind: type) -> Any:
    value = decode_json(files.get(name, b""), limit=MAX_JSON)
    if not isinstance(value, kind):
        raise Malformed(f"{name} is not what it should be")
    return value


def _members(value: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise Malformed(f"'{name}' is not a list of objects")
    return found


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**40:
        raise Malformed("not a whole number")
    return value


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "version": event.version,
        "kind": event.kind.value,
        "state": event.state.value,
        "at": event.at,
        "reason": event.reason,
        "operator": event.case.operator,
        "second_operator": event.case.second_operator,
        "matter": event.case.matter,
        "case_number": event.case.number,
        "detail": event.detail,
    }


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()
