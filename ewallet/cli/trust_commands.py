"""`ewallet trust`: what a province's operator does, from making keys to reading another one's changes.

Commands that change something write a draft; `sign` shows it in words and adds a signature; `publish` checks
every threshold again. Nobody edits JSON by hand.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ewallet.cli.exits import Exit, report
from ewallet.errors import EwalletError, TrustError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ewallet.keys import Signer
    from ewallet.trust.lote import ProvinceList
    from ewallet.trust.repository import Repository
    from ewallet.trust.words import Words

_DIR: Final = click.Path(path_type=Path, file_okay=False)
_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError("a time is written 2026-11-23T08:00:00Z") from error
    if found.tzinfo is None:
        raise click.UsageError("a time needs its zone, such as 2026-11-23T08:00:00Z")
    return found.astimezone(UTC)


def _say(words: Iterable[Words], lang: str, mark: str = "-") -> None:
    for zh, en in words:
        print(f"{mark} {zh if lang == 'zh' else en}")


def _password(file: Path | None) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True))


now_option = click.option("--now", "now_text", help="The time, instead of the clock's.")
lang_option = click.option(
    "--lang", type=click.Choice(["zh", "en"]), default="zh", show_default=True, help="Language."
)
repo_option = click.option("--repo", type=_DIR, help="The published repository; none before the first time.")
draft_option = click.option("--draft", type=_DIR, required=True, help="Directory of the draft.")
province_option = click.option("--province", required=True, help="Two digits of the own province.")
password_option = click.option("--password-file", type=_FILE, help="File with the password of the keys.")


@click.group()
def trust() -> None:
    """Make, sign, publish and check trust lists."""


@trust.command()
@click.argument("directory", type=_DIR)
@click.option("--province", help="Two digits of the province.")
@click.option("--online", is_flag=True, help="Make the online keys (snapshot, timestamp) instead.")
@click.option("--zh", default="", help="Chinese name of the province.")
@click.option("--en", default="", help="English name of the province.")
@click.option("--base", default="", help="URI under which its authorities stand, with trailing slash.")
@click.option("--suite", default="ES256", show_default=True, help="ES256, Ed25519, SM2SM3, ES256+ML-DSA-65.")
@password_option
def keys(
    directory: Path,
    province: str | None,
    online: bool,  # noqa: FBT001 -- a flag of the command line
    zh: str,
    en: str,
    base: str,
    suite: str,
    password_file: Path | None,
) -> int:
    """Make an operator's keys in DIRECTORY, encrypted, and `public.json` for the others."""
    from ewallet.trust.ceremony import make_keys  # noqa: PLC0415
    from ewallet.trust.tuf_keys import ONLINE  # noqa: PLC0415

    if online == (province is not None):
        return report("name a province, or --online", "", Exit.USAGE)
    if not online and not base.endswith("/"):
        return report("--base must end in a slash", "for example https://sh.example/", Exit.USAGE)
    owner = ONLINE if online else str(province)
    names = {"zh": zh or owner, "en": en or owner}
    made = make_keys(
        directory, owner=owner, names=names, base=base, password=_password(password_file), suite=suite
    )
    for role, key in made.keys.items():
        print(f"{role:10} {key.suite.name} kid {key.kid.hex()}")
    print(f"public keys {directory / 'public.json'}: hand this file to the others")
    return Exit.ACCEPTED


@trust.command()
@draft_option
@click.option("--member", "members", type=_FILE, multiple=True, required=True, help="A public.json.")
@click.option("--online", type=_FILE, required=True, help="public.json of the online keys.")
@now_option
@lang_option
def init(draft: Path, members: tuple[Path, ...], online: Path, now_text: str | None, lang: str) -> int:
    """Begin a consortium: a draft from every member's public keys, for all to sign."""
    from ewallet.trust.ceremony import begin, read_public, save_draft  # noqa: PLC0415
    from ewallet.trust.words import changes  # noqa: PLC0415

    publics = [read_public(file) for file in members]
    repository = begin(publics, read_public(online), now=_moment(now_text))
    save_draft(repository, draft)
    _say(changes(None, repository), lang)
    return Exit.ACCEPTED


@trust.command()
@repo_option
@draft_option
@click.argument("member", type=_FILE)
@now_option
@lang_option
def join(repo: Path, draft: Path, member: Path, now_text: str | None, lang: str) -> int:
    """Stage the joining of one more province from its public.json; a quorum of the old must sign."""
    from ewallet.trust import ceremony  # noqa: PLC0415

    now = _moment(now_text)

    def change(repository: Repository) -> None:
        ceremony.join(repository, ceremony.read_public(member), now=now)

    return _drafted(repo, draft, change, lang)


def _drafted(repo: Path | None, draft: Path, change: Callable[[Repository], None], lang: str) -> int:
    """Applies a change to the draft (begun here if there is none) and says what the draft now does."""
    from ewallet.trust.ceremony import load_draft, save_draft  # noqa: PLC0415
    from ewallet.trust.repository import Repository as Published  # noqa: PLC0415
    from ewallet.trust.words import changes  # noqa: PLC0415

    published = repo is not None and (repo / "metadata" / "timestamp.json").is_file()
    before = Published.load(repo) if published and repo else None
    if (draft / "draft.json").is_file():
        repository = load_draft(repo, draft)
    elif published and repo:
        repository = Published.load(repo)
    else:
        raise click.UsageError("name the published repository with --repo, or a draft that exists")
    change(repository)
    save_draft(repository, draft)
    _say(changes(before, repository), lang)
    return Exit.ACCEPTED


def _edited(
    repo: Path | None,
    draft: Path,
    province: str,
    edit: Callable[[ProvinceList], ProvinceList],
    now: datetime,
    lang: str,
) -> int:
    from ewallet.trust.ceremony import edit_list  # noqa: PLC0415

    def change(repository: Repository) -> None:
        edit_list(repository, province, edit, now=now)

    return _drafted(repo, draft, change, lang)


def _public_key(text: str) -> tuple[Any, bytes]:
    """A key given as JWK file, PEM file or certificate file: the key and, where needed, its certificate."""
    from ewallet.keys import PublicKey  # noqa: PLC0415

    data = Path(text).read_bytes()
    if data.lstrip()[:1] == b"{":
        return PublicKey.from_jwk(json.loads(data)), b""
    if b"BEGIN CERTIFICATE" in data or data[:1] == b"\x30":
        from cryptography import x509  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

        pem = b"BEGIN CERTIFICATE" in data
        der = x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER) if pem else data
        key = PublicKey.from_x509(der)
        return key, der if key.to_jwk()["kty"] != "EC" else b""
    return PublicKey.from_pem(data), b""


@trust.command("add-authority")
@repo_option
@draft_option
@province_option
@click.option("--uri", required=True, help="URI of the authority: the `iss` of what it signs.")
@click.option("--zh", required=True, help="Chinese name.")
@click.option("--en", required=True, help="English name.")
@click.option("--uscc", default="", help="Unified social credit code.")
@click.option("--status-prefix", "prefixes", multiple=True, help="Where its status lists live.")
@click.option("--service", "services", multiple=True, metavar="SERVICE=KEYFILE", help="Service and its key.")
@click.option("--type", "types", multiple=True, help="License type code it may sign; * for all.")
@click.option("--region", "regions", multiple=True, help="Area code prefix; default: the province.")
@click.option("--scene", "scenes", multiple=True, help="Scenes (codes, verify).")
@click.option("--attribute", "attributes", multiple=True, help="Attributes that it may ask for (verify).")
@click.option("--venue", "venues", multiple=True, help="URIs of its venues (verify).")
@click.option("--assurance", default="", help="Highest level of its codes.")
@now_option
@lang_option
def add_authority(
    repo: Path | None,
    draft: Path,
    province: str,
    uri: str,
    zh: str,
    en: str,
    uscc: str,
    prefixes: tuple[str, ...],
    services: tuple[str, ...],
    now_text: str | None,
    lang: str,
    **scope: Any,
) -> int:
    """List an authority, or add services to a listed one."""
    from ewallet.moments import seconds  # noqa: PLC0415
    from ewallet.trust import lists  # noqa: PLC0415
    from ewallet.trust.entries import Entity, Grant, Service  # noqa: PLC0415

    now = _moment(now_text)
    entity = Entity(
        uri=uri, names={"zh": zh, "en": en}, province=province, uscc=uscc, status_prefixes=prefixes
    )
    grant = Grant(
        types=frozenset(scope["types"]),
        regions=frozenset(scope["regions"] or (province,)),
        scenes=frozenset(scope["scenes"]),
        attributes=frozenset(scope["attributes"]),
        venues=frozenset(scope["venues"]),
        assurance=scope["assurance"],
        start=seconds(now),
    )

    def edit(listing: ProvinceList) -> ProvinceList:
        present = listing.entity(uri)
        listing = lists.with_entity(listing, entity if present is None or prefixes else present.entity)
        for item in services:
            name, _, file = item.partition("=")
            key, certificate = _public_key(file)
            listing = lists.with_service(
                listing, uri, Service(name), key=key, grants=(grant,), now=now, certificate=certificate
            )
        return listing

    return _edited(repo, draft, province, edit, now, lang)


def _service_command(name: str, help_text: str) -> Callable[[Callable[..., int]], click.Command]:
    """The options that all changes of one service share."""

    def decorate(function: Callable[..., int]) -> click.Command:
        for option in (
            lang_option,
            now_option,
            click.option("--service", "service_name", required=True, help="Which of its services."),
            click.option("--uri", required=True, help="URI of the authority."),
            province_option,
            draft_option,
            repo_option,
        ):
            function = option(function)
        return trust.command(name, help=help_text)(function)

    return decorate


@_service_command("rotate-key", "Give a service a new key; what the old one signed stays valid.")
@click.option("--key", "key_file", required=True, type=_FILE, help="The new public key: JWK, PEM or X.509.")
def rotate_key(
    repo: Path | None,
    draft: Path,
    province: str,
    uri: str,
    service_name: str,
    now_text: str | None,
    lang: str,
    key_file: Path,
) -> int:
    """See the help text above."""
    from ewallet.trust import lists  # noqa: PLC0415
    from ewallet.trust.entries import Service  # noqa: PLC0415

    now = _moment(now_text)
    key, certificate = _public_key(str(key_file))

    def edit(listing: ProvinceList) -> ProvinceList:
        return lists.rotated(listing, uri, Service(service_name), key=key, now=now, certificate=certificate)

    return _edited(repo, draft, province, edit, now, lang)


def _state_command(name: str, status_name: str, help_text: str) -> None:
    def run(
        repo: Path | None,
        draft: Path,
        province: str,
        uri: str,
        service_name: str,
        now_text: str | None,
        lang: str,
        effective: str | None,
        proof_needed: bool = False,  # noqa: FBT001, FBT002 -- a flag of the command line
    ) -> int:
        from ewallet.trust import lists  # noqa: PLC0415
        from ewallet.trust.entries import Service, Status  # noqa: PLC0415

        now = _moment(now_text)

        def edit(listing: ProvinceList) -> ProvinceList:
            return lists.with_state(
                listing,
                uri,
                Service(service_name),
                Status(status_name),
                effective=_moment(effective) if effective else now,
                now=now,
                proof_needed=proof_needed,
            )

        return _edited(repo, draft, province, edit, now, lang)

    command = click.option("--effective", help="From when; default: now.")(run)
    if name == "withdraw":
        command = click.option(
            "--proof-needed", is_flag=True, help="Backdating is to be feared: what it signed needs proof."
        )(command)
    _service_command(name, help_text)(command)


_state_command("suspend", "suspended", "Suspend a service: nothing of it counts while it lasts.")
_state_command("restore", "granted", "End a suspension.")
_state_command("withdraw", "withdrawn", "Withdraw a service for good; what it signed before stays valid.")


@_service_command("compromise", "Mark a key as having been in other hands since a time.")
@click.option("--kid", required=True, help="Key identifier, hex.")
@click.option("--from", "since", required=True, help="Since when.")
def compromise(
    repo: Path | None,
    draft: Path,
    province: str,
    uri: str,
    service_name: str,
    now_text: str | None,
    lang: str,
    kid: str,
    since: str,
) -> int:
    """See the help text above."""
    from ewallet.trust import lists  # noqa: PLC0415
    from ewallet.trust.entries import Service  # noqa: PLC0415

    now = _moment(now_text)

    def edit(listing: ProvinceList) -> ProvinceList:
        return lists.compromised(
            listing, uri, Service(service_name), kid=bytes.fromhex(kid), since=_moment(since), now=now
        )

    return _edited(repo, draft, province, edit, now, lang)


@trust.command()
@repo_option
@draft_option
@click.option("--target", "targets", multiple=True, required=True, metavar="KIND=VALUE", help="What to stop.")
@click.option("--reason", required=True, help="Why, in words.")
@click.option("--until", help="Its end; at most, and by default, in seven days.")
@now_option
@lang_option
def brake(
    repo: Path | None,
    draft: Path,
    targets: tuple[str, ...],
    reason: str,
    until: str | None,
    now_text: str | None,
    lang: str,
) -> int:
    """Stop an entity, key, type, province or service for at most seven days (two provinces sign)."""
    from datetime import timedelta  # noqa: PLC0415

    from ewallet.trust.authoring import suspension  # noqa: PLC0415
    from ewallet.trust.ceremony import edit_json  # noqa: PLC0415
    from ewallet.trust.image import BRAKE  # noqa: PLC0415

    now = _moment(now_text)
    end = _moment(until) if until else now + timedelta(days=7)
    pairs = dict(item.split("=", 1) for item in targets if "=" in item)
    if len(pairs) != len(targets) or not set(pairs) <= {"entity", "key", "type", "province", "service"}:
        return report("a target is entity=, key=, type=, province= or service=", "", Exit.USAGE)
    if end > now + timedelta(days=7):
        return report("a brake lasts seven days at most", "longer needs the consortium", Exit.USAGE)
    entry = suspension(pairs, reason=reason, now=now, until=end)

    def change(repository: Repository) -> None:
        edit_json(repository, BRAKE, lambda document: document["entries"].append(entry), now=now)

    return _drafted(repo, draft, change, lang)


@trust.command()
@repo_option
@draft_option
@click.argument("rules", type=_FILE)
@now_option
@lang_option
def rules(repo: Path | None, draft: Path, rules: Path, now_text: str | None, lang: str) -> int:
    """Replace the recognition rules by those of a JSON file (a list of rules)."""
    from ewallet.trust.ceremony import edit_json  # noqa: PLC0415
    from ewallet.trust.image import RECOGNITION  # noqa: PLC0415
    from ewallet.trust.recognition import rule_from_json  # noqa: PLC0415

    rows = json.loads(rules.read_text(encoding="utf-8"))
    for row in rows:
        rule_from_json(row)

    def change(repository: Repository) -> None:
        edit_json(
            repository, RECOGNITION, lambda document: document.update(rules=rows), now=_moment(now_text)
        )

    return _drafted(repo, draft, change, lang)


@trust.command()
@repo_option
@draft_option
@province_option
@click.argument("names", nargs=-1, required=True, metavar="RULE ...")
@now_option
@lang_option
def approve(
    repo: Path | None, draft: Path, province: str, names: tuple[str, ...], now_text: str | None, lang: str
) -> int:
    """Put recognition rules (by their ids) on the own province's list."""
    from ewallet.trust.ceremony import edit_json  # noqa: PLC0415
    from ewallet.trust.image import RECOGNITION  # noqa: PLC0415
    from ewallet.trust.recognition import rule_digest  # noqa: PLC0415

    def change(repository: Repository) -> None:
        rows = {row["id"]: row for row in json.loads(repository.files[RECOGNITION])["rules"]}
        unknown = set(names) - set(rows)
        if unknown:
            raise click.UsageError(f"no rule {', '.join(sorted(unknown))}")
        digests = {rule_digest(rows[name]) for name in names}
        edit_json(
            repository,
            f"{province}/recognition.json",
            lambda document: document.update(approved=sorted({*document["approved"], *digests})),
            now=_moment(now_text),
        )

    return _drafted(repo, draft, change, lang)


@trust.command()
@repo_option
@draft_option
@click.argument("roles", nargs=-1, required=True)
@now_option
@lang_option
def renew(repo: Path | None, draft: Path, roles: tuple[str, ...], now_text: str | None, lang: str) -> int:
    """Stage roles anew before they end (a province's list gets a new issue)."""
    from ewallet.trust.ceremony import edit_list  # noqa: PLC0415

    now = _moment(now_text)

    def change(repository: Repository) -> None:
        for role in roles:
            if role.isdigit():
                edit_list(repository, role, lambda listing: listing, now=now)
            elif role.endswith("-hot"):
                _set_hot(repository, role, (), now)
            else:
                repository.stage(role, now)

    return _drafted(repo, draft, change, lang)


@trust.command()
@repo_option
@draft_option
@province_option
@click.argument("passes", nargs=-1, metavar="[PASS ...]")
@click.option("--ended", multiple=True, metavar="PASS", help="Take this pass off the list: it has ended.")
@click.option("--only", is_flag=True, help="Drop all others: PASS ... are all that have not ended.")
@now_option
@lang_option
def hot(
    repo: Path | None,
    draft: Path,
    province: str,
    passes: tuple[str, ...],
    ended: tuple[str, ...],
    only: bool,  # noqa: FBT001 -- a flag of the command line
    now_text: str | None,
    lang: str,
) -> int:
    """Put revoked passes (their identifiers, hex) on the province's hot list, take ended ones off it."""
    revoked, dropped = _passes(passes), _passes(ended)
    if not (revoked or dropped or only):
        raise click.UsageError("name passes, --ended PASS or --only")

    def change(repository: Repository) -> None:
        role = f"{province}-hot"
        _set_hot(repository, role, revoked, _moment(now_text), ended=dropped, only=only)

    return _drafted(repo, draft, change, lang)


def _passes(entries: tuple[str, ...]) -> tuple[bytes, ...]:
    try:
        return tuple(bytes.fromhex(entry) for entry in entries)
    except ValueError:
        raise click.UsageError("a pass is named by its identifier in hex") from None


def _set_hot(
    repository: Repository,
    role: str,
    revoked: tuple[bytes, ...],
    now: datetime,
    *,
    ended: tuple[bytes, ...] = (),
    only: bool = False,
) -> None:
    """The hot list issued anew: what is on it stays on it (padding too) unless it is said to have ended.

    The list names passes, not their ends: those are in the code authority's ledger.
    """
    from ewallet.trust.authoring import hot_document  # noqa: PLC0415
    from ewallet.trust.lote import to_json  # noqa: PLC0415

    path = f"{role}/hot.json"
    present = [] if only else json.loads(repository.files[path])["passes"]
    passes = frozenset(bytes.fromhex(entry) for entry in present) - frozenset(ended) | frozenset(revoked)
    repository.set_file(path, to_json(hot_document(passes, now)), now)


# --- signing and publishing ---------------------------------------------------------------------------------


def _signer(key: str, password_file: Path | None) -> Signer:
    """A key file, or a `pkcs11:` URI."""
    if key.startswith("pkcs11:"):
        from ewallet.keys.pkcs11 import Pkcs11Signer  # noqa: PLC0415

        return Pkcs11Signer.open(key, pin=_password(password_file))
    from ewallet.keys import SigningKey  # noqa: PLC0415

    return SigningKey.load(Path(key), _password(password_file))


@trust.command()
@repo_option
@draft_option
@click.option("--key", "key_names", multiple=True, required=True, help="Key file, or pkcs11: URI.")
@province_option
@click.option("--yes", is_flag=True, help="Sign without asking (the words are shown all the same).")
@password_option
@lang_option
def sign(
    repo: Path | None,
    draft: Path,
    key_names: tuple[str, ...],
    province: str,
    yes: bool,  # noqa: FBT001 -- a flag of the command line
    password_file: Path | None,
    lang: str,
) -> int:
    """Show what a draft does, in words, and add one's signatures to it."""
    from ewallet.trust.ceremony import (  # noqa: PLC0415
        load_draft,
        missing_signatures,
        save_draft,
        sign_draft,
    )
    from ewallet.trust.repository import Repository as Published  # noqa: PLC0415
    from ewallet.trust.words import changes  # noqa: PLC0415

    published = repo is not None and (repo / "metadata" / "timestamp.json").is_file()
    before = Published.load(repo) if published and repo else None
    repository = load_draft(repo, draft)
    words = changes(before, repository)
    _say(words, lang)
    if any(zh.startswith("！") for zh, _ in words):
        return report("the draft takes history away, or cannot be read", "do not sign it", Exit.REJECTED)
    if not yes and not click.confirm("签署以上内容？" if lang == "zh" else "Sign this?"):
        return report("not signed", "", Exit.REJECTED)
    done: list[str] = []
    for name in key_names:
        done += sign_draft(repository, _signer(name, password_file), owner=province)
    if not done:
        return report("these keys sign nothing in this draft", "", Exit.USAGE)
    save_draft(repository, draft)
    print(f"signed: {' '.join(sorted(set(done)))}")
    for role, count in missing_signatures(repository).items():
        print(f"missing: {role} {count}")
    return Exit.ACCEPTED


@trust.command()
@click.argument("repo", type=_DIR)
@click.option("--draft", "drafts", type=_DIR, multiple=True, help="Signed drafts (copies are merged).")
@click.option("--snapshot-key", required=True, help="Key file of the snapshot role.")
@click.option("--timestamp-key", required=True, help="Key file of the timestamp role.")
@password_option
@now_option
def publish(
    repo: Path,
    drafts: tuple[Path, ...],
    snapshot_key: str,
    timestamp_key: str,
    password_file: Path | None,
    now_text: str | None,
) -> int:
    """Publish signed drafts to REPO, or only sign the time anew (hourly) if no draft is named."""
    from ewallet.trust.ceremony import load_draft, merge_drafts  # noqa: PLC0415
    from ewallet.trust.repository import Repository as Published  # noqa: PLC0415

    if drafts:
        repository = load_draft(repo, drafts[0])
        differing = merge_drafts(repository, [load_draft(repo, other) for other in drafts[1:]])
        if differing:
            return report(f"the drafts differ in {' '.join(differing)}", "sign the same draft", Exit.USAGE)
    else:
        repository = Published.load(repo)
    repository.publish(
        repo,
        _moment(now_text),
        snapshot=_signer(snapshot_key, password_file),
        timestamp=_signer(timestamp_key, password_file),
    )
    print(f"published {repo}")
    return Exit.ACCEPTED


# --- looking ------------------------------------------------------------------------------------------------


@trust.command()
@click.argument("directory", type=_DIR)
@click.option("--root", type=_FILE, help="Pin the first root.")
@now_option
@lang_option
def check(directory: Path, root: Path | None, now_text: str | None, lang: str) -> int:
    """Check a whole published repository or bundle. Exit 0: nothing to put right; 1: something."""
    from ewallet.trust.inspection import check as run  # noqa: PLC0415

    found = run(directory, now=_moment(now_text), root=root.read_bytes() if root else None)
    _say(found.problems, lang, mark="✗")
    _say(found.warnings, lang, mark="!")
    if found.passed:
        print("✓ 未发现问题" if lang == "zh" else "✓ no problems")
    return Exit.ACCEPTED if found.passed else Exit.REJECTED


@trust.command()
@click.argument("directory", type=_DIR)
@now_option
@lang_option
def show(directory: Path, now_text: str | None, lang: str) -> int:
    """Say in words what a published repository or bundle lists."""
    from ewallet.trust.inspection import describe, open_fresh  # noqa: PLC0415

    now = _moment(now_text)
    try:
        _say(describe(open_fresh(directory, now=now), now), lang)
    except TrustError as error:
        return report(str(error), "", Exit.UNDECIDED)
    return Exit.ACCEPTED


@trust.command()
@click.argument("first", type=_DIR)
@click.argument("second", type=_DIR)
@lang_option
def diff(first: Path, second: Path, lang: str) -> int:
    """Compare two copies of a repository. Exit 1 if they prove a split view: two contents of one version."""
    from ewallet.trust.inspection import difference  # noqa: PLC0415

    found = difference(first, second)
    if not found.same_anchor:
        print("! 首份根不同" if lang == "zh" else "! the first roots differ")
    for name in found.contradictions:
        print(f"✗ 同一版本两份内容：{name}" if lang == "zh" else f"✗ SPLIT VIEW: two contents of {name}")
    _say(found.changes, lang)
    return Exit.REJECTED if found.contradictions else Exit.ACCEPTED


@trust.command()
@click.argument("directory", type=_DIR)
@click.option("--province", "provinces", multiple=True, help="Provinces; default: all four.")
@click.option("--keys", "keys_place", type=_DIR, help="Keep everybody's keys here, to try changes out.")
@password_option
@now_option
def sandbox(
    directory: Path,
    provinces: tuple[str, ...],
    keys_place: Path | None,
    password_file: Path | None,
    now_text: str | None,
) -> int:
    """Make a whole consortium for trying out: lists, an authority in each province, recognition rules."""
    from ewallet.trust.sandbox import make_sandbox  # noqa: PLC0415

    made = make_sandbox(
        directory,
        provinces=provinces or ("31", "32", "33", "34"),
        now=_moment(now_text),
        keys=keys_place,
        password=_password(password_file) if keys_place else "",
    )
    print(f"bundle {directory}: {made.size()} bytes, first root {made.anchor}")
    return Exit.ACCEPTED


@trust.command()
@click.argument("license_file", metavar="LICENSE", type=_FILE)
@click.option("--at", "province", required=True, help="Two digits of the province where it is shown.")
@click.option("--trust", "bundle", required=True, type=_DIR, help="Gate bundle.")
@click.option("--state", type=_DIR, help="Trust state; default: a new one.")
@now_option
@lang_option
def explain(
    license_file: Path, province: str, bundle: Path, state: Path | None, now_text: str | None, lang: str
) -> int:
    """Say why a license is accepted at a province's counter, as what, and by which rule."""
    from ewallet.cli.trust_explain import explain_license  # noqa: PLC0415

    try:
        return explain_license(
            license_file, province=province, bundle=bundle, state=state, now=_moment(now_text), lang=lang
        )
    except EwalletError as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.UNDECIDED if isinstance(error, TrustError) else Exit.ENVIRONMENT


@trust.command()
@click.argument("repo", type=_DIR)
@click.argument("target", type=_DIR)
@click.option("--status", type=_DIR, help="Directory of status lists.")
@click.option("--policy", type=_FILE, help="Default policy of the gates.")
@click.option("--zip", "zip_file", type=click.Path(path_type=Path, dir_okay=False), help="Also as one zip.")
def bundle(repo: Path, target: Path, status: Path | None, policy: Path | None, zip_file: Path | None) -> int:
    """Make a gate bundle from a published repository."""
    from ewallet.trust.bundle import pack, write_bundle  # noqa: PLC0415

    rules = json.loads(policy.read_text(encoding="utf-8")) if policy else None
    made = write_bundle(target, repository=repo, policy=rules, status=status)
    print(f"bundle {target}: {made.size()} bytes, first root {made.anchor}")
    if zip_file is not None:
        print(f"zip {zip_file}: {pack(target, zip_file)} bytes")
    return Exit.ACCEPTED


@trust.command("state")
@click.argument("credentials", nargs=-1, type=_FILE, required=True)
@click.option("--out", "directory", type=_DIR, required=True, help="Directory of statements.")
@click.option("--uri", required=True, help="URI of the entity that states it: not the issuer.")
@click.option("--key", "key_name", required=True, help="Its key for `register`: file, or pkcs11: URI.")
@password_option
@now_option
def state_(
    credentials: tuple[Path, ...],
    directory: Path,
    uri: str,
    key_name: str,
    password_file: Path | None,
    now_text: str | None,
) -> int:
    """State that credentials exist now: what keeps them alive if their issuer's key leaks later."""
    from ewallet.trust.statements import state_all  # noqa: PLC0415

    tokens = [_credential(file) for file in credentials]
    signer = _signer(key_name, password_file)
    made = state_all(tokens, directory, signer=signer, iss=uri, now=_moment(now_text))
    print(f"{made} new statements in {directory}")
    return Exit.ACCEPTED


def _credential(file: Path) -> str | bytes:
    data = file.read_bytes()
    return data if data[:1] >= b"\x80" else data.decode("ascii", "replace").strip()


@trust.command()
@click.argument("repo", type=_DIR)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@province_option
@click.option("--key", "key_name", required=True, help="The province's key for this: file, or pkcs11: URI.")
@password_option
def jws(repo: Path, file: Path, province: str, key_name: str, password_file: Path | None) -> int:
    """Write a published province list as signed JWS to FILE, for readers without TUF."""
    from ewallet.trust.lote import from_document  # noqa: PLC0415
    from ewallet.trust.publishing import sign_list  # noqa: PLC0415
    from ewallet.trust.repository import Repository as Published  # noqa: PLC0415

    listing = from_document(Published.load(repo).files[f"{province}/list.json"])
    file.write_text(sign_list(listing, _signer(key_name, password_file)) + "\n", encoding="ascii")
    print(f"list of {province}, issue {listing.sequence}, as JWS in {file}")
    return Exit.ACCEPTED


@trust.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--province", "provinces", multiple=True, required=True, help="Two provinces or more.")
@click.option("--days", default=365, show_default=True, help="How long the rules count.")
@now_option
def mappings(file: Path, provinces: tuple[str, ...], days: int, now_text: str | None) -> int:
    """Write the built-in recognition rules between provinces to FILE, to be adapted and put to signing."""
    from datetime import timedelta  # noqa: PLC0415

    from ewallet.trust.mappings import builtin_rules  # noqa: PLC0415

    now = _moment(now_text)
    made = builtin_rules(provinces, start=now, until=now + timedelta(days=days))
    file.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{len(made)} rules in {file}")
    return Exit.ACCEPTED


@trust.command()
@click.option("--command", help="A partner's program: JSON lines in, JSON lines out.")
@click.option("--url", help="A partner's endpoint: one POST for each case.")
@lang_option
def conformance(command: str | None, url: str | None, lang: str) -> int:
    """Put the shipped cases to a partner's program or endpoint. Exit 0 if all answers are right."""
    import shlex  # noqa: PLC0415

    from ewallet.trust.conformance import (  # noqa: PLC0415
        answer,
        by_command,
        by_endpoint,
        run,
        world_trust,
    )

    if command:
        found = by_command(shlex.split(command))
    elif url:
        found = by_endpoint(url)
    else:  # our own decision, as an example of a report
        found = run(lambda case: answer(world_trust(case["world"]), case["question"]))
    for finding in found:
        print(finding.sentence(lang))
    wrong = sum(not finding.passed for finding in found)
    right = len(found) - wrong
    print(f"{right} 项通过，{wrong} 项不符" if lang == "zh" else f"{right} passed, {wrong} wrong")
    return Exit.REJECTED if wrong else Exit.ACCEPTED


@trust.command(hidden=True)
def answering() -> int:
    """Answer conformance cases from standard input: what a partner's program does, as an example."""
    from ewallet.trust.conformance import answer, world_trust  # noqa: PLC0415
    from ewallet.wire import decode_json  # noqa: PLC0415

    for line in sys.stdin:
        case = decode_json(line, limit=1 << 22)
        print(json.dumps({"reason": answer(world_trust(case["world"]), case["question"])}), flush=True)
    return Exit.ACCEPTED
