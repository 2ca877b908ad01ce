"""Retrieve and share: an annotated copy for who may have it, with consent or by law; every use recorded.

The walk has the order of sharing services in the field: who asks (11), what is missing (12), the type (13),
the asker's grant (100), the license (10, 113), the consent or legal basis (100), its state (21, 22, 23). A
supply code stands for type, license and consent: what is wrong with it is 100, then the walk goes on. What is
handed out is an annotated copy and a signed statement about it, never the master. The use is recorded
before the copy leaves: a register that cannot write shares nothing.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, insert, select

from ewallet.errors import ConfigError, NotFound, Refused
from ewallet.licenses import tables
from ewallet.licenses.asking import WORDS, Ask, Code, CopyStatement, make_statement, read_consent
from ewallet.licenses.lifecycle import Case, State
from ewallet.licenses.printed import IN_FORCE, PrintOrder
from ewallet.licenses.render import Annotation, Content, render
from ewallet.licenses.supply_code import read_supply_code
from ewallet.moments import day_end, day_of, seconds
from ewallet.trust.entries import Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from ewallet.licenses.catalog import LicenseType
    from ewallet.licenses.issuer import Issuer
    from ewallet.licenses.license import License
    from ewallet.licenses.printed import PrintedCopy
    from ewallet.licenses.register import Register
    from ewallet.licenses.render import Faces
    from ewallet.licenses.supply_code import SupplyCode
    from ewallet.trust.entries import ListedKey
    from ewallet.trust.trust import Trust

LONGEST_USE: Final = 180
"""Days that an annotated copy may be used."""

_STATES: Final = {
    State.SUSPENDED: Code.RESTRICTED,
    State.LAPSED: Code.EXPIRED,
    State.WITHDRAWN: Code.CANCELLED,
    State.CANCELLED: Code.CANCELLED,
    State.REVOKED: Code.CANCELLED,
    State.TRANSFERRED: Code.CANCELLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalBasis:
    """A law that lets an authority retrieve a license without the holder's consent.

    Attributes:
        id: short name that an ask gives.
        zh: citation.
        en: citation.
        types: short names or codes of the types that it covers; `*` for all.
        matters: codes of the service items; `*` for all.
    """

    id: str
    zh: str
    en: str
    types: frozenset[str]
    matters: frozenset[str]

    def covers(self, type_: LicenseType, matter: str) -> bool:
        """Whether it lets a type be retrieved for a matter."""
        named = {"*", type_.key, type_.code, type_.shanghai}
        return bool(self.types & named) and bool(self.matters & {"*", matter})


def load_bases(file: Path) -> dict[str, LegalBasis]:
    """Legal bases by id, from TOML: tables `[[basis]]` with `id`, `zh`, `en`, `types` and `matters`.

    Raises:
        ConfigError: not of this form.
    """
    try:
        rows = tomllib.loads(file.read_text(encoding="utf-8"))["basis"]
        found = [
            LegalBasis(**{**row, "types": frozenset(row["types"]), "matters": frozenset(row["matters"])})
            for row in rows
        ]
    except OSError as error:
        raise ConfigError(error.strerror or "cannot be read", file=str(file)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError("[[basis]] needs id, zh, en, types, matters", file=str(file)) from error
    return {each.id: each for each in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One use of a license, as its holder and its issuer see it.

    Attributes:
        at: seconds since 1970.
        identifier: of the license; empty on the side that asked, where no license was found.
        side: `supplied` here, or `received` from elsewhere.
        code: how it was answered.
        recipient: URI of who asked.
        organization: its name.
        operator: who acted there.
        position: window or device.
        matter: code and name of the service item.
        case: case number there.
        purpose: why.
        ground: `consent`, `code` (a supply code), or `law:` and the id of the basis.
        until: last day of the copy's use.
        trust_version: version of the lists that decided.
    """

    at: int
    identifier: str
    side: str
    code: int
    recipient: str
    organization: str
    operator: str
    position: str
    matter: str
    case: str
    purpose: str
    ground: str
    until: str
    trust_version: int

    def to_json(self) -> dict[str, Any]:
        """The use as data."""
        return {name: getattr(self, name) for name in _COLUMNS}


_COLUMNS: Final = (
    "at",
    "identifier",
    "side",
    "code",
    "recipient",
    "organization",
    "operator",
    "position",
    "matter",
    "case",
    "purpose",
    "ground",
    "until",
    "trust_version",
)
_USE: Final = tables.shared_use


class UseLog:
    """Uses of licenses, in the database of the register that issued (or received) them.

    Args:
        register: the register.
    """

    def __init__(self, register: Register) -> None:
        self._register = register

    def record(self, use: Use, *, license_key: str = "", spent: bytes | None = None) -> None:
        """Writes a use.

        Args:
            use: the use.
            license_key: what is the same for all versions of the license; empty: its identifier.
            spent: digest of the consent or supply code that it rests on: good for one case.

        Raises:
            Refused: `code.replayed`: it was used for another case.
            RegisterError: it cannot be written.
        """
        row = {name: getattr(use, name) for name in _COLUMNS}
        with self._register.writing() as connection:
            if spent is not None:
                # Two uses at one time wait for each other here: the second sees what the first has written.
                connection.execute(_LOCK, {"named": use.identifier})
                _check_unspent(connection, use, spent)
            connection.execute(
                insert(_USE).values(**row, license=license_key or use.identifier, consent=spent)
            )

    def check_unspent(self, use: Use, spent: bytes) -> None:
        """Whether a consent or supply code may still be used so; `record` decides.

        Raises:
            Refused: `code.replayed`: it was used for another case.
        """
        with self._register.reading() as connection:
            _check_unspent(connection, use, spent)

    def uses(self, license_key: str) -> tuple[Use, ...]:
        """All uses of a license, the newest first."""
        return self._read(_USE.c.license == license_key)

    def since(self, at: int) -> tuple[Use, ...]:
        """All uses from a second on, the newest first: for evaluation."""
        return self._read(_USE.c.at >= at)

    def _read(self, condition: Any) -> tuple[Use, ...]:
        columns = [_USE.c[name] for name in _COLUMNS]
        with self._register.reading() as connection:
            rows = connection.execute(select(*columns).where(condition).order_by(_USE.c.id.desc())).all()
        return tuple(Use(**dict(zip(_COLUMNS, row, strict=True))) for row in rows)


_LOCK: Final = (
    select(tables.license_.c.id)
    .where(
        tables.license_.c.id.in_(
            select(tables.version.c.license_id).where(tables.version.c.identifier == bindparam("named"))
        )
    )
    .with_for_update()
)


def _check_unspent(connection: Connection, use: Use, spent: bytes) -> None:
    """One recipient, matter, case and purpose: the same may come again after a lost answer."""
    earlier = connection.execute(
        select(_USE.c.recipient, _USE.c.matter, _USE.c.case, _USE.c.purpose).where(_USE.c.consent == spent)
    )
    now = (use.recipient, _matter_code(use.matter), use.case, use.purpose)
    if any((row.recipient, _matter_code(row.matter), row.case, row.purpose) != now for row in earlier):
        raise Refused("code.replayed", "used for another case")


def _matter_code(matter: str) -> str:
    return matter.partition(" ")[0]  # its name behind it may be written otherwise


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Shared:
    """The answer to an ask.

    Attributes:
        code: how it was answered.
        detail: what was missing or refused; never a personal value.
        reason: why a consent or supply code was refused, of the table of reasons; empty where another
            thing was.
        pdf: the annotated copy; empty unless the code is OK.
        statement: the issuer's signed statement about it; empty unless the code is OK.
    """

    code: Code
    detail: str = ""
    reason: str = ""
    pdf: bytes = b""
    statement: bytes = b""

    def to_words(self) -> dict[str, str]:
        """The words of the code, zh and en."""
        zh, en = WORDS[self.code]
        return {"zh": zh, "en": en}


class _Refusal(Exception):
    def __init__(self, code: Code, detail: str = "", reason: str = "") -> None:
        super().__init__(code)
        self.code, self.detail, self.reason = code, detail, reason

    @classmethod
    def of(cls, what: str, refused: Refused) -> _Refusal:
        return cls(Code.NO_PERMISSION, f"{what}: {refused.detail}", refused.reason)

    def answer(self) -> Shared:
        return Shared(code=self.code, detail=self.detail, reason=self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplier:
    """Hands out annotated copies of one authority's licenses.

    Attributes:
        issuer: the authority at work.
        faces: how copies are drawn.
        uses: where uses are recorded.
        bases: laws that let a license be retrieved without consent, by id.
    """

    issuer: Issuer
    faces: Faces
    uses: UseLog
    bases: Mapping[str, LegalBasis]

    def supply(self, ask: Ask, askers: Sequence[ListedKey], trust: Trust, *, now: datetime) -> Shared:
        """Answers an ask.

        Args:
            ask: what is asked for.
            askers: the asker's listed keys of the service *verify*; who it is was established by the caller.
            trust: the trust lists.
            now: the time.

        Raises:
            RegisterError: the register does not answer: nothing was handed out.
            PrintError: the copy cannot be drawn.
            Refused: `trust.*`, `clock.unsure`: the lists cannot tell who may ask.
        """
        try:
            self._complete(ask, askers, now)
            shown = self._shown(ask, now) if ask.code else None
            type_ = self._may_ask(ask, shown, askers, trust, now)
            if shown is None:
                license_ = self._find(ask, type_)
                spent = self._ground(ask, type_, license_, now)
            else:
                license_, spent = self._of_device(shown, type_, now), shown.digest
            use = use_of(
                ask,
                side="supplied",
                code=Code.OK,
                identifier=license_.identifier,
                trust_version=trust.versions["targets"],
                now=now,
            )
            self._unspent(ask, use, spent)
            self._state(license_, now)
        except _Refusal as refusal:
            return refusal.answer()
        pdf = self._draw(ask, license_, type_, now)
        statement = make_statement(
            CopyStatement(
                issuer=license_.authority,
                recipient=ask.recipient,
                identifier=license_.identifier,
                type=license_.type_code,
                type_version=str(license_.type_version),
                area=license_.area,
                purpose=ask.purpose,
                fields=license_.fields,
                pdf=sha256(pdf).digest(),
                license=_document_digest(license_),
                status_uri=license_.document_status.uri,
                status_idx=license_.document_status.idx,
                issued_at=seconds(now),
                ends_at=seconds(day_end(ask.until)),
            ),
            self.issuer.signer,
        )
        try:
            self.uses.record(use, license_key=self.license_key(license_.identifier), spent=spent)
        except Refused as refused:
            return _Refusal.of(_ground(ask), refused).answer()
        return Shared(code=Code.OK, pdf=pdf, statement=statement)

    def license_key(self, identifier: str) -> str:
        """What is the same for all versions of a license."""
        return f"license {self.issuer.register.entry(identifier).id}"

    def _complete(self, ask: Ask, askers: Sequence[ListedKey], now: datetime) -> None:
        if not askers:
            raise _Refusal(Code.NOT_AUTHENTICATED, "no list names the asker as a verifier")
        if ask.missing():
            raise _Refusal(Code.FIELD_MISSING, ask.missing())
        if not (ask.consent or ask.basis or ask.code):
            raise _Refusal(Code.FIELD_MISSING, "consent or basis")
        if not 0 <= (ask.until - day_of(now)).days <= LONGEST_USE:
            raise _Refusal(Code.FIELD_MISSING, f"until: from today on, at most {LONGEST_USE} days")

    def _shown(self, ask: Ask, now: datetime) -> SupplyCode:
        """The supply code, if it is for this authority and this recipient."""
        try:
            shown = read_supply_code(ask.code, now=now)
        except Refused as refused:
            raise _Refusal.of("code", refused) from refused
        if shown.authority != self.issuer.authority.uri:
            raise _Refusal(Code.NO_PERMISSION, "code: for another authority", "code.audience")
        if shown.recipient not in ("", ask.recipient):
            raise _Refusal(Code.NO_PERMISSION, "code: for another recipient", "code.audience")
        return shown

    def _may_ask(
        self, ask: Ask, shown: SupplyCode | None, askers: Sequence[ListedKey], trust: Trust, now: datetime
    ) -> LicenseType:
        type_ = self.issuer.catalog.get(ask.type if shown is None else shown.type)
        if type_ is None or (shown is not None and type_.code != shown.type):
            raise _Refusal(Code.UNKNOWN_TYPE)
        if not _granted(askers, trust, ask.position, type_, now):
            raise _Refusal(Code.NO_PERMISSION, "beyond what the asker may ask for")
        if any(listed.entity.uri != ask.recipient for listed in askers):
            # An authority that asks for its partner lends it no grant of its own.
            theirs = [
                listed
                for listed in trust.all_keys()
                if listed.service is Service.VERIFY and listed.entity.uri == ask.recipient
            ]
            if not _granted(theirs, trust, ask.position, type_, now):
                raise _Refusal(Code.NO_PERMISSION, "beyond what the recipient may ask for")
        return type_

    def _find(self, ask: Ask, type_: LicenseType) -> License:
        register = self.issuer.register
        found = register.find(
            type_code="" if ask.number else type_.code, number=ask.number, holder=ask.holder, living=False
        )
        mine = [each for each in found if each.authority == self.issuer.authority.uri]
        if ask.holder:  # a part of a number is no number
            mine = [each for each in mine if any(one.code == ask.holder for one in each.holders)]
        right = [each for each in mine if each.type_code == type_.code]
        if not right:
            raise _Refusal(Code.WRONG_TYPE if mine else Code.NOT_FOUND)
        # The one that lives is meant; where none does, the last one says why.
        return max(right, key=lambda each: (register.entry(each.identifier).state.lives, each.issued_at))

    def _of_device(self, shown: SupplyCode, type_: LicenseType, now: datetime) -> License:
        """The license that the supply code's device is bound to: exactly one that lives, or the last one."""
        at = seconds(now)
        found = {
            entry.id: (entry, license_)
            for entry, license_, device in self.issuer.register.bound_to(
                shown.key.thumbprint(), type_code=type_.code
            )
            # Credentials end with their license at the latest: that the license ended says why.
            if entry.authority == self.issuer.authority.uri
            and (at < device.expires_at or _over(license_, now))
        }
        if not found:
            raise _Refusal(
                Code.NO_PERMISSION, "code: not of a device of such a license", "holder.binding_missing"
            )
        living = [each for entry, each in found.values() if entry.state.lives and not _over(each, now)]
        if len(living) > 1:
            raise _Refusal(Code.NO_PERMISSION, "code: its device has several licenses of this type")
        return living[0] if living else max((each for _, each in found.values()), key=lambda e: e.issued_at)

    def _unspent(self, ask: Ask, use: Use, spent: bytes | None) -> None:
        """Before anything is drawn; `record` decides."""
        if spent is None:
            return
        try:
            self.uses.check_unspent(use, spent)
        except Refused as refused:
            raise _Refusal.of(_ground(ask), refused) from refused

    def _ground(self, ask: Ask, type_: LicenseType, license_: License, now: datetime) -> bytes | None:
        """Digest of the consent; None under a law."""
        if not ask.consent:
            basis = self.bases.get(ask.basis)
            if basis is None or not basis.covers(type_, ask.matter):
                raise _Refusal(Code.NO_PERMISSION, "no such legal basis for this type and matter")
            return None
        try:
            consent = read_consent(ask.consent, now=now)
        except Refused as refused:
            raise _Refusal.of("consent", refused) from refused
        wanted = (ask.recipient, ask.matter, ask.case, ask.purpose)
        if (consent.recipient, consent.matter, consent.case, consent.purpose) != wanted:
            raise _Refusal(Code.NO_PERMISSION, "consent: for another recipient, matter, case or purpose")
        if not self.bound(consent.identifier, consent.key.thumbprint(), now):
            raise _Refusal(Code.NO_PERMISSION, "consent: of another holder")
        if self.license_key(consent.identifier) != self.license_key(license_.identifier):
            raise _Refusal(Code.NO_PERMISSION, "consent: for another license")
        return consent.digest

    def bound(self, identifier: str, thumbprint: bytes, now: datetime) -> bool:
        """Whether a device is bound to a license now."""
        at = seconds(now)
        try:
            devices = self.issuer.register.devices(identifier)
        except NotFound:
            return False
        return any(
            each.thumbprint == thumbprint and each.ended_at is None and at < each.expires_at
            for each in devices
        )

    def _state(self, license_: License, now: datetime) -> None:
        state = self.issuer.register.entry(license_.identifier).state
        if state in _STATES:
            raise _Refusal(_STATES[state])
        if _over(license_, now):
            raise _Refusal(Code.EXPIRED)

    def _draw(self, ask: Ask, license_: License, type_: LicenseType, now: datetime) -> bytes:
        annotation = Annotation(
            purpose=f"{ask.purpose}（{ask.organization}，{ask.matter_name}）",
            maker=self.issuer.authority.name,
            made_at=now,
            until=ask.until,
        )
        copy = self._sheet(license_, now)
        return render(
            Content.of(license_, type_),
            copy,
            faces=self.faces,
            created=now.replace(microsecond=0),
            annotation=annotation,
            credential=False,
        )

    def _sheet(self, license_: License, now: datetime) -> PrintedCopy:
        """A sheet whose seal the copy carries, as any photocopy does; one is made where none was printed."""
        for copy in self.issuer.register.copies(license_.identifier):
            if copy.version == license_.version and copy.state in IN_FORCE:
                return copy
        made = self.issuer.print_copies(
            license_,
            PrintOrder(originals=0, duplicates=1),
            reason="a sheet for annotated copies",
            case=Case(operator="service"),
            now=now,
        )
        return made[0]


def _granted(keys: Sequence[ListedKey], trust: Trust, venue: str, type_: LicenseType, now: datetime) -> bool:
    """Whether any of a verifier's keys may ask for a type at a place; never for no keys."""
    for listed in keys:
        try:
            trust.decide_verifier(listed, venue=venue, types=(type_.code,), now=now)
        except Refused as refused:
            if not refused.reason.startswith("verifier."):
                raise
        else:
            return True
    return False


def _over(license_: License, now: datetime) -> bool:
    return license_.ends_at is not None and license_.ends_at <= now


def _document_digest(license_: License) -> bytes:
    """Digest of what the issuer signed in the document credential: the JWS signing input."""
    signed = (license_.document or "").partition("~")[0].rpartition(".")[0]
    return sha256(signed.encode()).digest()


def _ground(ask: Ask) -> str:
    return "code" if ask.code else "consent" if ask.consent else f"law:{ask.basis}"


def use_of(ask: Ask, *, side: str, code: Code, identifier: str, trust_version: int, now: datetime) -> Use:
    """The use that an ask leads to, on either side; without what names the holder."""
    return Use(
        at=seconds(now),
        identifier=identifier,
        side=side,
        code=int(code),
        recipient=ask.recipient,
        organization=ask.organization,
        operator=ask.operator,
        position=ask.position,
        matter=f"{ask.matter} {ask.matter_name}",
        case=ask.case,
        purpose=ask.purpose,
        ground=_ground(ask),
        until=ask.until.isoformat(),
        trust_version=trust_version,
    )
