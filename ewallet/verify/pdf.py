"""A printed copy as a PDF file: its seal, read from the page as a picture, and its attached credential.

Both must verify and say the same; the seal's reason is the one reported, since paper carries only the seal.
What the page itself shows is compared by `ewallet compare`: a seal cannot see its surroundings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ewallet.errors import Refused
from ewallet.formats.qr import read_pdf
from ewallet.formats.text import SEAL
from ewallet.formats.typeset import attachments
from ewallet.reasons import Layer, Outcome
from ewallet.verify.result import Check, Kind, Notice, StepResult, refuse

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.verify.result import LicenseFacts, Verification
    from ewallet.verify.verifier import Verifier

_STEP: Final = 14
_NAME: Final = "seal and credential agree"


def verify_pdf(verifier: Verifier, pdf: bytes, *, now: datetime) -> Verification:
    """Verifies a PDF of a printed copy. Never raises for its content.

    1. the seals on its pages; 2. the attached document credential; 3. both must be about the same face.

    Args:
        verifier: the counter.
        pdf: content of the file.
        now: the time of the check.

    Raises:
        MissingExtra: the extra `scan` is not installed.
    """
    try:
        seals = [found for found in read_pdf(pdf) if found.startswith(SEAL)]
        credentials = [data for name, data in attachments(pdf).items() if name.endswith(".sdjwt")]
    except Refused as refused:
        return _ended(refused.reason, refused.detail, now)
    if not seals and not credentials:
        return _ended("code.unreadable", "neither a seal nor a credential in the file", now)
    if len(credentials) > 1:
        return _ended("code.ambiguous", "more than one credential in the file", now)
    if not seals:
        document = verifier.verify(_text(credentials[0]), now=now)
        return replace(document, notices=(*document.notices, Notice(code="seal.unreadable")))
    seal = verifier.verify(seals, now=now)  # 1
    if not credentials or seal.facts is None:
        return seal
    document = verifier.verify(_text(credentials[0]), now=now)  # 2
    if document.facts is None:
        return replace(document, kind=Kind.SEAL)
    (sealed,), (attached,) = seal.facts.licenses, document.facts.licenses
    detail = _difference(seals[0], sealed, attached)  # 3
    if detail:
        last = Check(
            step=_STEP, name=_NAME, layer=Layer.ACCEPTED_HERE, result=StepResult.FAILED, detail=detail
        )
        return refuse(
            "printed.differs",
            (*seal.checks, last),
            notices=seal.notices,
            kind=Kind.SEAL,
            facts=seal.facts,
            at=now,
        )
    if seal.outcome is Outcome.ACCEPTED and document.outcome is not Outcome.ACCEPTED:
        return document
    # The credential says more than the seal (nothing is masked in it), and both are genuine: show it.
    return replace(seal, facts=replace(seal.facts, licenses=(replace(attached, status=sealed.status),)))


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode("ascii").strip()
    except UnicodeDecodeError:
        return data


def _ended(reason: str, detail: str, now: datetime) -> Verification:
    check = Check(step=1, name="form", layer=Layer.GENUINE, result=StepResult.FAILED, detail=detail)
    return refuse(reason, (check,), at=now)


def _difference(seal_text: str, sealed: LicenseFacts, attached: LicenseFacts) -> str:
    """Where seal and credential are not about the same face; empty if they are."""
    from ewallet.licenses.seal import parse_seal  # noqa: PLC0415 (only for PDFs)

    if sealed.issuer != attached.issuer:
        return "issuer"
    if sealed.identifier != attached.identifier or sealed.version != attached.version:
        return "identifier or version"
    seal = parse_seal(seal_text).unverified
    face = _face(attached)
    if face is None:
        return ""  # a type that this catalog does not have: identifier and version must do
    from ewallet.keys import SUITES  # noqa: PLC0415
    from ewallet.licenses.license import face_digest  # noqa: PLC0415

    digests = {face_digest(face, seal.salt, suite.digest) for suite in SUITES.values()}
    return "" if seal.face_digest in digests else "the content of the face"


def _face(attached: LicenseFacts) -> tuple[tuple[str, str], ...] | None:
    from ewallet.licenses.catalog import Catalog  # noqa: PLC0415

    type_ = Catalog.builtin().get(attached.type)
    if type_ is None:
        return None
    return tuple(
        (spec.key, attached.fields[spec.key]) for spec in type_.face_fields if spec.key in attached.fields
    )
