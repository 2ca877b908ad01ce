"""The holder's side of a request: who asks for what and why, what could answer, and the answer.

A wallet shows `in_words`, lets the holder choose among `choices`, and sends `respond`: one key-bound
presentation for each license, all bound to that one request, disclosing what was asked for and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ewallet.errors import Malformed, Refused
from ewallet.formats import sdcwt, sdjwt
from ewallet.licenses.presenting import present
from ewallet.moments import seconds
from ewallet.verify.claims import HOLDER_CWT, HOLDER_JWT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ewallet.code.challenge import CheckedRequest, Wanted
    from ewallet.keys import Signer
    from ewallet.licenses.catalog import Catalog

_TYPE: Final = re.compile(r".+/vct/(?P<type>[0-9A-Z]{3,40})/[0-9]{1,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A license in the holder's wallet.

    Attributes:
        credential: the holder credential with all its disclosures, SD-JWT VC (text) or SD-CWT (bytes).
        device: the device key that it names.
        type: code of its type.
        fields: names of everything that it could disclose.
    """

    credential: str | bytes = field(repr=False)
    device: Signer = field(repr=False)
    type: str
    fields: frozenset[str]

    @classmethod
    def read(cls, credential: str | bytes, device: Signer) -> Card:
        """The card of a credential that the wallet holds; it was verified when it was received.

        Raises:
            Refused: `credential.malformed`: not a holder credential.
        """
        vct: object
        if isinstance(credential, str):
            parsed = sdjwt.parse(credential, _WHOLE_JWT)
            vct, names = parsed.unverified_claims.get("vct"), sdjwt.origins(parsed)
        else:
            token = sdcwt.parse(credential, HOLDER_CWT)
            vct, names = token.unverified_claims.get(sdcwt.VCT), sdcwt.origins(token)
        named = _TYPE.fullmatch(vct) if isinstance(vct, str) else None
        if named is None:
            raise Malformed("not a license")
        fields = frozenset(path[0] for path in names if len(path) == 1 and isinstance(path[0], str))
        return cls(credential=credential, device=device, type=named["type"], fields=fields)

    def answers(self, wanted: Wanted) -> bool:
        """Whether it can show what is wanted."""
        return self.type in wanted.types and self.fields.issuperset(wanted.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One wish of a request, and the cards that could answer it; none: the holder does not have it."""

    wanted: Wanted
    cards: tuple[Card, ...]


def choices(asked: CheckedRequest, cards: Sequence[Card]) -> tuple[Choice, ...]:
    """For each wish, what in the wallet could answer it."""
    return tuple(
        Choice(wanted=each, cards=tuple(card for card in cards if card.answers(each)))
        for each in asked.licenses
    )


def in_words(asked: CheckedRequest, catalog: Catalog, lang: str) -> tuple[str, ...]:
    """Who asks for what and why, line by line, for the holder to read before choosing.

    The asker's name and the scene come from the trust lists; purpose, office, matter and case are the asker's
    own signed words.

    Args:
        asked: the checked request.
        catalog: names of types and fields.
        lang: zh or en.
    """
    zh, about = lang == "zh", asked.about
    name = asked.asker.names.get(lang) or asked.asker.uri
    lines = [("询问方：" if zh else "Who asks: ") + name]
    lines.append(("场景：" if zh else "Where: ") + (asked.scene.names.get(lang) or asked.scene.id))
    told = (
        ("用途：" if zh else "Why: ", about.purpose),
        ("机构：" if zh else "Office: ", about.organization),
        ("事项：" if zh else "Matter: ", about.matter),
        ("办件编号：" if zh else "Case: ", about.case),
    )
    lines.extend(label + value for label, value in told if value)
    for each in asked.licenses:
        types = [catalog.get(code) for code in each.types]
        names = [
            (type_.zh if zh else type_.en) if type_ else code
            for type_, code in zip(types, each.types, strict=True)
        ]
        first = next((type_ for type_ in types if type_ is not None), None)
        known = first.by_key if first is not None else {}
        fields = [(known[key].zh if zh else known[key].en) if key in known else key for key in each.fields]
        lines.append(
            ("／" if zh else " / ").join(names) + ("：" if zh else ": ") + ("、" if zh else ", ").join(fields)
        )
    return tuple(lines)


def respond(asked: CheckedRequest, chosen: Sequence[Card], *, now: datetime) -> str:
    """Answers a request: one presentation to a line.

    Args:
        asked: the checked request.
        chosen: the card for each wish, in the order of the request.
        now: the holder's time.

    Raises:
        Refused: `code.expired`: the question is over.
        ValueError: a wish without a card, or with one that cannot answer it.
        SignerError: the device refused.
    """
    if seconds(now) >= asked.ends_at:
        raise Refused("code.expired", "the question is over")
    if len(chosen) != len(asked.licenses):
        raise ValueError("one card for each license that is asked for")
    shown = []
    for wanted, card in zip(asked.licenses, chosen, strict=True):
        if not card.answers(wanted):
            raise ValueError("a card that does not have what is asked for")
        shown.append(
            present(
                card.credential,
                card.device,
                audience=asked.venue,
                nonce=asked.digest,
                disclose=wanted.fields,
                now=now,
            )
        )
    return "\n".join(shown)


_WHOLE_JWT: Final = sdjwt.Profile(
    typ=HOLDER_JWT.typ,
    key_binding=False,
    open_claims=HOLDER_JWT.open_claims,
    required=HOLDER_JWT.required,
    skew=HOLDER_JWT.skew,
)
"""The holder credential as it lies in the wallet: all disclosures, no key binding yet."""
