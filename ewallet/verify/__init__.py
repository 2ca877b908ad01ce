"""The relying side: verify what is shown, decide, and remember.

Everything is imported when it is first used: a gate that reads codes loads no SQL and no PDF reader.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ewallet.verify.answering import Card, choices, in_words, respond
    from ewallet.verify.counter import open_verifier
    from ewallet.verify.coverage import Acceptance, Coverage, accept, cover
    from ewallet.verify.explaining import decide_by_hand, explain
    from ewallet.verify.matters import Matter, Matters
    from ewallet.verify.pdf import verify_pdf
    from ewallet.verify.policy import Policy
    from ewallet.verify.ratings import RatingService
    from ewallet.verify.receipts import Use, UseLog, make_receipt, verify_receipt
    from ewallet.verify.replay import FileGuard, MemoryGuard, ReplayGuard
    from ewallet.verify.requests import ask, from_dcql, to_dcql, wanted_by
    from ewallet.verify.result import Check, Facts, Kind, LicenseFacts, Notice, Party, Verification
    from ewallet.verify.sources import StatusDirectory, StatusMirror, StatusSource
    from ewallet.verify.verifier import Verifier

_PLACES: Final = {
    "verify_receipt": "receipts",
    "make_receipt": "receipts",
    "UseLog": "receipts",
    "Use": "receipts",
    "RatingService": "ratings",
    "wanted_by": "requests",
    "to_dcql": "requests",
    "from_dcql": "requests",
    "ask": "requests",
    "explain": "explaining",
    "decide_by_hand": "explaining",
    "respond": "answering",
    "in_words": "answering",
    "choices": "answering",
    "Card": "answering",
    "Acceptance": "coverage",
    "Coverage": "coverage",
    "Matter": "matters",
    "Matters": "matters",
    "accept": "coverage",
    "cover": "coverage",
    "Check": "result",
    "Facts": "result",
    "FileGuard": "replay",
    "Kind": "result",
    "LicenseFacts": "result",
    "MemoryGuard": "replay",
    "Notice": "result",
    "Party": "result",
    "Policy": "policy",
    "ReplayGuard": "replay",
    "StatusDirectory": "sources",
    "StatusMirror": "sources",
    "StatusSource": "sources",
    "Verification": "result",
    "Verifier": "verifier",
    "open_verifier": "counter",
    "verify_pdf": "pdf",
}

__all__ = [
    "Acceptance",
    "Card",
    "Check",
    "Coverage",
    "Facts",
    "FileGuard",
    "Kind",
    "LicenseFacts",
    "Matter",
    "Matters",
    "MemoryGuard",
    "Notice",
    "Party",
    "Policy",
    "RatingService",
    "ReplayGuard",
    "StatusDirectory",
    "StatusMirror",
    "StatusSource",
    "Use",
    "UseLog",
    "Verification",
    "Verifier",
    "accept",
    "ask",
    "choices",
    "cover",
    "decide_by_hand",
    "explain",
    "from_dcql",
    "in_words",
    "make_receipt",
    "open_verifier",
    "respond",
    "to_dcql",
    "verify_pdf",
    "verify_receipt",
    "wanted_by",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
