"""Who may do what: trust lists, their distribution, the decision, recognition between provinces."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ewallet.trust.authoring import Authority, Consortium
    from ewallet.trust.bundle import Bundle, pack, write_bundle
    from ewallet.trust.distribution import FileMark, TrustStore, first_root, thumbprint
    from ewallet.trust.entries import Entity, Grant, HotList, ListedKey, Notice, Service, Window
    from ewallet.trust.recognition import LocalView, Recognition, Rule
    from ewallet.trust.scenes import Scene, builtin_scenes, policy_from_json
    from ewallet.trust.statements import Statement, make_statement, verify_statement
    from ewallet.trust.trust import Trust

_HOMES: Final = {
    "authoring": ("Authority", "Consortium"),
    "bundle": ("Bundle", "pack", "write_bundle"),
    "distribution": ("FileMark", "TrustStore", "first_root", "thumbprint"),
    "entries": ("Entity", "Grant", "HotList", "ListedKey", "Notice", "Service", "Window"),
    "recognition": ("LocalView", "Recognition", "Rule"),
    "scenes": ("Scene", "builtin_scenes", "policy_from_json"),
    "statements": ("Statement", "make_statement", "verify_statement"),
    "trust": ("Trust",),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Authority",
    "Bundle",
    "Consortium",
    "Entity",
    "FileMark",
    "Grant",
    "HotList",
    "ListedKey",
    "LocalView",
    "Notice",
    "Recognition",
    "Rule",
    "Scene",
    "Service",
    "Statement",
    "Trust",
    "TrustStore",
    "Window",
    "builtin_scenes",
    "first_root",
    "make_statement",
    "pack",
    "policy_from_json",
    "thumbprint",
    "verify_statement",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    """Loads the module of a public name at its first use: a verifier at rest does not import TUF."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
