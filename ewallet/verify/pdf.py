"""A printed copy as a PDF file: its seal, its attached credential, and what its page shows.

Seal (read from the page as a picture) and credential must both verify and be about the same face; the seal's
reason is the one reported, since paper carries only the seal. Then the page is drawn afresh from the verified
credential and compared with the one that came: an edited text and a picture laid over it both show.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ewallet.errors import Malformed, MissingExtra, PrintError, Refused
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.render import Content, Faces
from ewallet.licenses.sheet import examine, match_seal, read_sheet
from ewallet.reasons import Layer, Outcome
from ewallet.verify.result import Check, Kind, Notice, StepResult, refuse

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.licenses.sheet import Sheet
    from ewallet.verify.result import LicenseFacts, Verification
    from ewallet.verify.verifier import Verifier

_FORM: Final = 1
_FACE: Final = 14
"""Number of the step that follows the verifier's own: the page shows what was signed."""


def verify_pdf(verifier: Verifier, pdf: bytes, *, now: datetime) -> Verification:
    """Verifies a PDF of a printed copy. Never raises for its content.

    1. the seal on its page; 2. the attached document credential; 3. both are about the same face; 4. the page
    shows that face and nothing else.

    Args:
        verifier: the counter.
        pdf: content of the file.
        now: the time of the check.

    Raises:
        MissingExtra: the extra `scan` is not installed.
    """
    try:
        sheet = read_sheet(pdf)
    except Refused as refused:
        return _ended(refused, now)
    if sheet.credential is None:
        return verifier.verify(list(sheet.seals), now=now)  # 1: what a scanned paper gives
    document = verifier.verify(sheet.credential.strip(), now=now)  # 2
    if not sheet.seals:
        return replace(document, notices=(*document.notices, Notice(code="seal.unreadable")))
    seal = verifier.verify(list(sheet.seals), now=now)  # 1
    if seal.facts is None:
        return seal
    if document.facts is None:
        return document
    [sealed], [attached] = seal.facts.licenses, document.facts.licenses
    content = _content(attached, sheet.credential)
    try:
        notice = _compare(sheet, content, sealed, attached)  # 3, 4
    except Refused as refused:
        last = _check(_FACE, "face", Layer.ACCEPTED_HERE, refused)
        return refuse(
            refused.reason,
            (*seal.checks, last),
            notices=seal.notices,
            kind=seal.kind,
            facts=seal.facts,
            at=now,
        )
    if seal.outcome is Outcome.ACCEPTED and document.outcome is not Outcome.ACCEPTED:
        return document
    # The credential says more than the seal (nothing is masked in it), and both are genuine: show it.
    licenses = (replace(attached, status=sealed.status, local=sealed.local),)
    whole = replace(seal.facts, kind=Kind.DOCUMENT, licenses=licenses)
    passed = Check(step=_FACE, name="face", layer=Layer.ACCEPTED_HERE, result=StepResult.PASSED)
    done = seal.outcome is Outcome.ACCEPTED and notice is None
    return replace(
        seal,
        kind=Kind.DOCUMENT,
        facts=whole,
        checks=(*seal.checks, passed) if done else seal.checks,
        notices=seal.notices if notice is None else (*seal.notices, notice),
    )


def _check(step: int, name: str, layer: Layer, refused: Refused) -> Check:
    return Check(step=step, name=name, layer=layer, result=StepResult.FAILED, detail=refused.detail)


def _ended(refused: Refused, now: datetime) -> Verification:
    return refuse(refused.reason, (_check(_FORM, "form", Layer.GENUINE, refused),), at=now)


def _content(attached: LicenseFacts, credential: str) -> Content | None:
    """What the page should show; None for a type that this catalog does not have."""
    type_ = Catalog.builtin().get(attached.type)
    if type_ is None:
        return None
    claims = {
        **attached.fields,
        "identifier": attached.identifier,
        "version": attached.version,
        "authority": attached.authority,
        "area": attached.area,
    }
    try:
        return Content.of_claims(claims, type_, credential)
    except Malformed:
        return None


def _compare(
    sheet: Sheet, content: Content | None, sealed: LicenseFacts, attached: LicenseFacts
) -> Notice | None:
    """Seal against credential, page against both; a notice where the page could not be drawn here.

    Raises:
        Refused: `printed.differs`; its detail names the fields.
    """
    if (sealed.issuer, sealed.identifier, sealed.version) != (
        attached.issuer,
        attached.identifier,
        attached.version,
    ):
        raise Refused("printed.differs", "seal and credential belong to different licenses or versions")
    if content is None:
        return Notice(code="page.not_compared")
    match_seal(sheet.seals[0], content)
    try:
        found = examine(sheet, content, faces=Faces.builtin())
    except (PrintError, MissingExtra):
        return Notice(code="page.not_compared")
    if found.differences:
        fields = ", ".join(sorted({each.key or each.label for each in found.differences}))
        raise Refused("printed.differs", f"the page shows otherwise: {fields}")
    return None
