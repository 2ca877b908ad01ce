"""Calls of sharing: retrieve a license wherever it was issued, supply what others ask for, show the uses.

A partner asks its own service; that one supplies, or asks the authority that the trust lists name for the
type and region (or that a scanned supply code names, if the lists do too), with an ask signed by its own
verify key. Both sides record the use.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool

from ewallet.errors import EwalletError, NotFound, Refused, RegisterError
from ewallet.licenses.asking import (
    WORDS,
    Ask,
    Code,
    make_ask,
    read_consent,
    verify_ask,
    verify_statement,
)
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.sharing import Shared, use_of
from ewallet.licenses.supply_code import read_supply_code
from ewallet.moments import seconds
from ewallet.service.http import LOG, Problem, answer, member, read_object
from ewallet.service.issuing import problem_of
from ewallet.service.peers import address, send
from ewallet.trust.entries import Service
from ewallet.verify.replay import challenge_spending

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request as Call
    from starlette.responses import Response

    from ewallet.licenses.asking import CopyStatement
    from ewallet.licenses.sharing import Supplier, UseLog
    from ewallet.licenses.supply_code import SupplyCode
    from ewallet.service.settings import Settings
    from ewallet.trust.entries import ListedKey
    from ewallet.trust.trust import Trust
    from ewallet.verify.replay import ReplayGuard
    from ewallet.verify.terminal import Terminal

_MEMBERS: Final = (
    "type",
    "holder",
    "number",
    "organization",
    "operator",
    "position",
    "matter",
    "matter_name",
    "case",
    "purpose",
    "region",
    "basis",
    "code",
)
_HTTP: Final = {
    Code.OK: 200,
    Code.NOT_AUTHENTICATED: 401,
    Code.NO_PERMISSION: 403,
    Code.FIELD_MISSING: 422,
    Code.UNKNOWN_TYPE: 422,
    Code.WRONG_TYPE: 422,
    Code.NOT_FOUND: 404,
    Code.CANCELLED: 410,
    Code.EXPIRED: 410,
    Code.RESTRICTED: 409,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """The calls of sharing.

    Attributes:
        terminal: holds the trust lists.
        settings: how the process was started.
        guard: a signed ask counts once.
        supplier: hands out copies of this authority's licenses; None: it only asks others.
        uses: where uses are recorded; None: nothing is asked of others.
    """

    terminal: Terminal
    settings: Settings
    guard: ReplayGuard
    supplier: Supplier | None = None
    uses: UseLog | None = None
    _routes: dict[tuple[int, str, str], tuple[str, ...]] = field(default_factory=dict)

    # --- asked by a partner ---------------------------------------------------------------------------------

    async def retrieve(self, call: Call) -> Response:
        """POST /v1/retrieve: the answer with its code, whatever it is; the copy and its statement if 0."""
        data = await read_object(call)
        ask = _ask(data, recipient=call.scope.get("ewallet.entity", ""))
        return await _answered(lambda: self._retrieve(ask))

    def _retrieve(self, ask: Ask) -> dict[str, Any]:
        trust, now = self._trust(), self.settings.now()
        askers = _keys(trust, ask.recipient)
        if not askers:
            return said(
                Shared(code=Code.NOT_AUTHENTICATED, detail="no list names this partner as a verifier")
            )
        if ask.missing():
            return said(Shared(code=Code.FIELD_MISSING, detail=ask.missing()))
        supplier, shown = self.supplier, None
        if ask.code:
            try:
                shown = read_supply_code(ask.code, now=now)
            except Refused as refused:
                refusal = Shared(
                    code=Code.NO_PERMISSION, detail=f"code: {refused.detail}", reason=refused.reason
                )
                return said(refusal)
        owner = self._owner(trust, ask) if shown is None else _named(trust, shown, now)
        if shown is not None and not owner:
            return said(Shared(code=Code.NOT_FOUND, detail="no list names the issuer that the code names"))
        if supplier is not None and owner in ("", supplier.issuer.authority.uri):
            return said(supplier.supply(ask, askers, trust, now=now))
        if not owner:
            return said(Shared(code=Code.NOT_FOUND, detail="no list names an issuer of this type there"))
        return self._from(owner, ask, trust, now, type_="" if shown is None else shown.type)

    def _owner(self, trust: Trust, ask: Ask) -> str:
        """The authority that the lists name for a type in a region; empty if they name none."""
        known = Catalog.builtin().get(ask.type)
        type_, own = known.code if known else ask.type, self.supplier
        place = (trust.versions.get("timestamp", 0), type_, ask.region)
        if place not in self._routes:
            self._routes.clear()
            self._routes[place] = _owners(trust, type_, ask.region, self.settings.now())
        owners = self._routes[place]
        if own is not None and own.issuer.authority.uri in owners:
            return own.issuer.authority.uri
        return owners[0] if owners else ""

    def _from(self, owner: str, ask: Ask, trust: Trust, now: datetime, *, type_: str = "") -> dict[str, Any]:
        """Asks another authority, checks what it answers, gives the local view, records the use here too."""
        settings = self.settings
        if settings.signer is None or self.uses is None:
            raise Problem(409, "this service has no key or no register to ask others with")
        token = make_ask(ask, settings.signer, issuer=settings.issuer, to=owner, now=now)
        got = send(address(owner, settings.peers, "/v1/supply"), {"ask": b64encode(token).decode()})
        code = _code(got)
        local: dict[str, Any] | None = None
        identifier = ""
        if code is Code.OK:
            pdf, statement = _bytes(got, "pdf"), _bytes(got, "statement")
            checked = verify_statement(statement, trust, recipient=ask.recipient, pdf=pdf, now=now)
            if checked.issuer != owner:
                raise Refused("issuer.unknown", "the statement is of another authority")
            if type_ and checked.type != type_:
                raise Refused("disclosure.mismatch", "the statement is about another type than the code")
            identifier = checked.identifier
            local = self._local(checked, trust, now)
        self.uses.record(
            use_of(
                ask,
                side="received",
                code=code,
                identifier=identifier,
                trust_version=trust.versions["targets"],
                now=now,
            )
        )
        return {**got, "from": owner, "local": local}

    def _local(self, said_: CopyStatement, trust: Trust, now: datetime) -> dict[str, Any]:
        """The local view of a foreign license under a recognition rule; without one, that there is none."""
        issuer, verifier = trust.entity(said_.issuer), self.terminal.verifier
        if issuer is None or verifier is None:
            return {"rule": None, "reason": "recognition.no_rule"}
        home = verifier.policy
        if issuer.province == home.province:
            return {"rule": None, "reason": None}
        rule = trust.recognize(
            from_province=issuer.province,
            to_province=home.province,
            type=said_.type,
            type_version=said_.type_version,
            scene=home.scene.id,
            now=now,
        )
        if rule is None:
            return {"rule": None, "reason": "recognition.no_rule"}
        view = rule.local_view(said_.fields)
        if view.unmet:
            return {"rule": view.rule, "reason": "recognition.no_rule"}
        return {
            "rule": view.rule,
            "reason": None,
            "relation": str(view.relation),
            "fields": dict(view.fields),
            "unmapped": list(view.unmapped),
        }

    # --- asked by another authority -------------------------------------------------------------------------

    async def supply(self, call: Call) -> Response:
        """POST /v1/supply: answers an ask that is signed by a listed verifier."""
        token = decoded(member(await read_object(call), "ask", str), "ask")
        return await _answered(lambda: self._supply(token))

    def _supply(self, token: bytes) -> dict[str, Any]:
        trust, now, supplier = self._trust(), self.settings.now(), self.supplier
        if supplier is None:
            raise Problem(409, "this service issues nothing")
        try:
            checked = verify_ask(token, trust, to=supplier.issuer.authority.uri, now=now)
            self.guard.spend([challenge_spending(checked.digest, iat=checked.iat, exp=checked.exp)], now=now)
        except Refused as refused:
            if refused.reason.startswith(("trust.", "clock.", "replay.")):
                raise
            return said(Shared(code=Code.NOT_AUTHENTICATED, detail=refused.detail))
        return said(supplier.supply(checked.ask, (checked.asker,), trust, now=now))

    # --- shown to the holder --------------------------------------------------------------------------------

    async def holder_uses(self, call: Call) -> Response:
        """POST /v1/uses: who used a license, for its holder: a bound device signs that it asks."""
        proof = decoded(member(await read_object(call), "proof", str), "proof")
        return await _answered(lambda: self._uses(proof))

    def _uses(self, proof: bytes) -> dict[str, Any]:
        supplier, now = self.supplier, self.settings.now()
        if supplier is None:
            raise Problem(409, "this service issues nothing")
        asked = read_consent(proof, now=now)
        own = supplier.issuer.authority.uri
        if (asked.recipient, asked.purpose) != (own, "uses") or not supplier.bound(
            asked.identifier, asked.key.thumbprint(), now
        ):
            raise Problem(403, "not signed by a device of this license", code=int(Code.NO_PERMISSION))
        uses = supplier.uses.uses(supplier.license_key(asked.identifier))
        laws = {each.ground.removeprefix("law:") for each in uses} & supplier.bases.keys()
        return {
            "identifier": asked.identifier,
            "uses": [each.to_json() for each in uses],
            "laws": {
                id_: {"zh": supplier.bases[id_].zh, "en": supplier.bases[id_].en} for id_ in sorted(laws)
            },
        }

    def _trust(self) -> Trust:
        verifier = self.terminal.verifier
        if verifier is None:
            raise Problem(503, "there are no trust lists", reason=self.terminal.problem)
        return verifier.trust


# --- parts --------------------------------------------------------------------------------------------------


def said(shared: Shared) -> dict[str, Any]:
    """An answer as data."""
    data: dict[str, Any] = {"code": int(shared.code), **shared.to_words(), "detail": shared.detail}
    if shared.reason:
        data["reason"] = shared.reason
    if shared.code is Code.OK:
        data["pdf"] = b64encode(shared.pdf).decode()
        data["statement"] = b64encode(shared.statement).decode()
    return data


async def _answered(work: Any) -> Response:
    try:
        data = await run_in_threadpool(work)
    except Refused as refused:
        if refused.reason.startswith(("trust.", "clock.", "replay.", "status.")):
            raise Problem(503, "this cannot be decided now", reason=refused.reason) from refused
        raise Problem(403, refused.detail, reason=refused.reason, code=int(Code.NO_PERMISSION)) from refused
    except NotFound as error:
        raise Problem(404, "no such license", code=int(Code.NOT_FOUND)) from error
    except RegisterError as error:
        raise problem_of(error) from error
    except EwalletError as error:
        LOG.error("a copy could not be made: %s", type(error).__name__)
        raise Problem(500, "the copy cannot be made") from error
    return answer(data, _HTTP[Code(data["code"])] if "code" in data else 200)


def _ask(data: dict[str, Any], *, recipient: str) -> Ask:
    values = {name: member(data, name, str, default="") for name in _MEMBERS}
    try:
        until = date.fromisoformat(member(data, "until", str))
    except ValueError as error:
        raise Problem(422, "until: a day", field="until", code=int(Code.FIELD_MISSING)) from error
    consent = decoded(member(data, "consent", str, default=""), "consent")
    return Ask(recipient=recipient, until=until, consent=consent, **values)


def decoded(text: str, name: str) -> bytes:
    """Bytes from base64.

    Raises:
        Problem: 422.
    """
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError) as error:
        raise Problem(422, f"{name} is base64", field=name) from error


def _keys(trust: Trust, uri: str) -> tuple[ListedKey, ...]:
    if not uri:
        return ()
    return tuple(
        each for each in trust.all_keys() if each.service is Service.VERIFY and each.entity.uri == uri
    )


def _owners(trust: Trust, type_: str, region: str, now: datetime) -> tuple[str, ...]:
    """Authorities that may issue a type in a region: first whose grant names the type, then who may all."""
    at = seconds(now)
    named: list[str] = []
    wide: list[str] = []
    for listed in trust.all_keys():
        if listed.service is not Service.LICENSES:
            continue
        for grant in listed.grants:
            near = any(own.startswith(region) or region.startswith(own) for own in grant.regions)
            if grant.contains(at) and near and grant.covers_type(type_):
                (named if type_ in grant.types else wide).append(listed.entity.uri)
    return tuple(dict.fromkeys([*named, *wide]))


def _named(trust: Trust, shown: SupplyCode, now: datetime) -> str:
    """The authority that a supply code names, if the lists let it issue that type; else empty.

    Anybody can write any address into a code: whom the lists do not name is never called.
    """
    at = seconds(now)
    for listed in trust.all_keys():
        if listed.service is Service.LICENSES and listed.entity.uri == shown.authority:
            for grant in listed.grants:
                if grant.contains(at) and grant.covers_type(shown.type):
                    return listed.entity.uri
    return ""


def _code(got: dict[str, Any]) -> Code:
    try:
        code = Code(got.get("code"))  # type: ignore[arg-type]  # a foreign value: refused below
    except ValueError as error:
        raise Problem(
            503, "the other authority does not answer", reason=str(got.get("reason", ""))
        ) from error
    got["zh"], got["en"] = WORDS[code]
    return code


def _bytes(got: dict[str, Any], name: str) -> bytes:
    value = got.get(name)
    return decoded(value if isinstance(value, str) else "", name)
