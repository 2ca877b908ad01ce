"""The code authority: passes in batches, each for its own device key; suspension, lost phones, hot list.

What it stores, in its ledger (docs/threats.md, "What the authority stores"): for each pass its id, its end,
the authority's own identifiers of whom it is about, of who acts and of the phone, and whether it is revoked,
until the pass ends; suspended subjects and lost phones. The authority can link the passes of a person; a
venue cannot, and neither can two venues together.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ewallet.code import passes, possession
from ewallet.code.ledger import IssuedPass, Ledger, MemoryLedger
from ewallet.code.mint import Mint
from ewallet.code.passes import ACTOR, HOUR, ID_SIZE, KINDS, LEVELS, MAX_LIFE, SUBJECT, Entry, Pass
from ewallet.errors import RecordError
from ewallet.formats import cose
from ewallet.moments import day_end, day_of, day_start, seconds
from ewallet.trust.scenes import ATTRIBUTES, Scene, builtin_scenes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ewallet.code.delegation import Delegation
    from ewallet.keys import PublicKey, Signer

MAX_BATCH: Final = 512
"""Passes of one request: more than a person shows in a day."""
HOT_PADDING: Final = 64
"""A hot list's length is a multiple of this: it does not tell how many passes were revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a scene limited by entry admits to.

    Attributes:
        name: stable name, such as `expo-2026-opening`.
        start: beginning of its period, a whole hour.
        end: end of its period, a whole hour.
    """

    name: str
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        start, end = seconds(self.start), seconds(self.end)
        if not self.name or start >= end or start % HOUR or end % HOUR:
            raise ValueError("an event has a name and a period of whole hours")


class CodeAuthority:
    """Issues passes.

    Args:
        signer: its key, listed for the service *identity codes*.
        name: its URI; proofs of possession name it. Default: from the key's thumbprint.
        secret: at least 32 bytes, for pseudonyms and nonces: keep it as long as pseudonyms must stay equal
            (a day, an event), and one for all processes of this authority. Default: fresh, for one process.
        ledger: where it keeps what it issued and stopped; in production a persistent one
            (`ewallet.code.ledger_sql.SqlLedger`). Default: in memory, forgotten at a restart.
        scenes: scenes by id, from the trust lists. Default: those that the package ships.
    """

    def __init__(
        self,
        *,
        signer: Signer,
        name: str | None = None,
        secret: bytes | None = None,
        ledger: Ledger | None = None,
        scenes: Mapping[str, Scene] | None = None,
    ) -> None:
        self._signer = signer
        self.name: Final = name or f"urn:ewallet:authority:{signer.public_key.thumbprint().hex()}"
        self._secret = os.urandom(32) if secret is None else secret
        if len(self._secret) < 32:
            raise ValueError("the secret needs 32 bytes")
        self.ledger: Final[Ledger] = MemoryLedger() if ledger is None else ledger
        self.scenes: Final[Mapping[str, Scene]] = builtin_scenes() if scenes is None else scenes

    # --- issuing --------------------------------------------------------------------------------------------

    def challenge(self, now: datetime) -> bytes:
        """A nonce that devices answer with `ewallet.code.possession.prove`; good for ten minutes."""
        return possession.make_nonce(self._secret, now=now)

    def issue_passes(
        self,
        devices: Iterable[tuple[PublicKey, bytes]],
        *,
        subject: str,
        kind: str,
        scenes: Iterable[str],
        attributes: Mapping[str, Any],
        delegation: Delegation | None = None,
        assurance: str = "substantial",
        event: Event | None = None,
        phone: str = "",
        now: datetime,
    ) -> list[Pass]:
        """Issues one pass to each device key, all alike and not linkable by what they carry.

        Args:
            devices: device keys, each with its proof of possession over a nonce of `challenge`.
            subject: the authority's own identifier of whom the passes are about; never leaves it.
            kind: kind of the subject (`ewallet.code.passes.KINDS`).
            scenes: ids of scenes; one that is limited by day or entry stands alone.
            attributes: what may be disclosed, by name; only what the scenes may ask for goes in. For
                `portrait_digest`, given with the person's consent, the picture's file: each pass gets its
                own salt.
            delegation: who acts, where that is not the subject.
            assurance: level of assurance.
            event: for a scene limited by entry: which event.
            phone: the authority's name for the phone, for loss.
            now: the authority's time; passes begin at its full hour.

        Raises:
            Refused: `signature.holder`, `code.expired`: a proof does not hold; nothing is issued.
            NotAllowed: subject or actor is suspended, or the phone is lost.
            RecordError: scenes, attributes, kind or delegation do not fit.
            SignerError: the authority's signing device refused.
        """
        # All proofs first: one that does not hold, and nothing is issued.
        keys = self._proven(devices, now)
        return self.issue_proven(
            keys,
            subject=subject,
            kind=kind,
            scenes=scenes,
            attributes=attributes,
            delegation=delegation,
            assurance=assurance,
            event=event,
            phone=phone,
            now=now,
        )

    def issue_proven(
        self,
        keys: Iterable[PublicKey],
        *,
        subject: str,
        kind: str,
        scenes: Iterable[str],
        attributes: Mapping[str, Any],
        delegation: Delegation | None = None,
        assurance: str = "substantial",
        event: Event | None = None,
        phone: str = "",
        now: datetime,
    ) -> list[Pass]:
        """Issues to device keys whose possession was proven elsewhere, by key attestation for example.

        Arguments and refusals as `issue_passes`; the keys must be distinct.
        """
        wanted = self._scenes(scenes, kind)
        actor = subject if delegation is None else delegation.actor
        self.ledger.require(subject=subject, actor=actor, phone=phone)
        if delegation is not None:
            delegation.require((scene.id for scene in wanted), now=now)
        entry = self._entry(subject, wanted[0], event, now)
        template = _template(kind, wanted, assurance, delegation=delegation, entry=entry, now=now)
        carried = _carried(wanted, attributes, delegation)
        mint = Mint(self._signer, template, carried)
        issued = [mint.strike(key) for key in keys]
        ends_at = template[cose.EXP]
        self.ledger.note(
            [
                IssuedPass(id=pass_id, subject=subject, actor=actor, phone=phone, ends_at=ends_at)
                for pass_id, _ in issued
            ]
        )
        return [made for _, made in issued]

    def _scenes(self, scenes: Iterable[str], kind: str) -> list[Scene]:
        ids = sorted(set(scenes))
        if not ids:
            raise RecordError("a pass names its scenes", field="scenes")
        unknown = [scene for scene in ids if scene not in self.scenes]
        if unknown or kind not in KINDS:
            raise RecordError("a scene or kind that the lists do not know", field="scenes")
        wanted = [self.scenes[scene] for scene in ids]
        if any(kind not in scene.kinds for scene in wanted):
            raise RecordError("a scene that does not take this kind", field="kind")
        if len(wanted) > 1 and any(scene.spends != "code" for scene in wanted):
            raise RecordError("a scene limited by day or entry has passes of its own", field="scenes")
        return wanted

    def _proven(self, devices: Iterable[tuple[PublicKey, bytes]], now: datetime) -> list[PublicKey]:
        # Distinct: two passes on one key would link.
        keys: dict[PublicKey, None] = {}
        for key, proof in devices:
            if key in keys:
                raise RecordError("a device key twice", field="devices")
            if len(keys) == MAX_BATCH:
                raise RecordError(f"more than {MAX_BATCH} passes at once", field="devices")
            possession.check_proof(proof, key, authority=self.name, secret=self._secret, now=now)
            keys[key] = None
        return list(keys)

    def _entry(self, subject: str, scene: Scene, event: Event | None, now: datetime) -> Entry | None:
        if (scene.spends == "entry") != (event is not None):
            raise RecordError("a scene limited by entry, and only that, names its event", field="event")
        if scene.spends == "code":
            return None
        if event is not None:
            name, start, end = event.name, seconds(event.start), seconds(event.end)
        else:
            day = day_of(now)
            name, start, end = scene.id, seconds(day_start(day)), seconds(day_end(day))
        about = "\x00".join((scene.id, name, str(start), subject))
        pseudonym = hmac.digest(self._secret, b"ewallet-pseudonym-v1" + about.encode(), sha256)[:16]
        return Entry(pseudonym=pseudonym, event=name, start=start, end=end)

    # --- suspension, loss, hot list -------------------------------------------------------------------------

    def suspend(self, subject: str, *, now: datetime) -> list[str]:
        """Stops a person or enterprise: no new passes, live ones onto the hot list; their ids."""
        return _ids(self.ledger.suspend(subject, now=now))

    def restore(self, subject: str) -> None:
        """Allows passes again; revoked ones stay revoked, the phone asks for fresh ones."""
        self.ledger.restore(subject)

    def lose_phone(self, subject: str, phone: str, *, now: datetime) -> list[str]:
        """Revokes the passes of one phone and issues no more to it; the person's others keep theirs.

        A new phone gets a new name. A phone that never got a name is revoked, but not refused.

        Returns:
            Ids of the revoked passes.
        """
        return _ids(self.ledger.lose(subject, phone, now=now))

    def find_phone(self, subject: str, phone: str) -> None:
        """A lost phone is back: it may fetch fresh passes; revoked ones stay revoked."""
        self.ledger.find(subject, phone)

    def hot_list(self, *, now: datetime) -> list[bytes]:
        """Entries for the province's hot list: revoked passes that have not ended, sorted and padded.

        The padding is random and looks like revoked passes.
        """
        entries = [passes.hot_entry(pass_id) for pass_id in self.ledger.revoked(now=now)]
        entries += [os.urandom(ID_SIZE) for _ in range(-len(entries) % HOT_PADDING)]
        return sorted(entries)


def _ids(issued: Iterable[IssuedPass]) -> list[str]:
    return [one.id for one in issued]


def _template(
    kind: str,
    scenes: Sequence[Scene],
    assurance: str,
    *,
    delegation: Delegation | None,
    entry: Entry | None,
    now: datetime,
) -> dict[int | str, Any]:
    """What all passes of a batch say alike."""
    begin = seconds(now) // HOUR * HOUR
    claims: dict[int | str, Any] = {
        cose.IAT: begin,
        cose.EXP: begin + MAX_LIFE,
        passes.KIND: KINDS[kind],
        passes.LEVEL: LEVELS[assurance],
        passes.SCENES: [scene.id for scene in scenes],
    }
    if delegation is not None:
        until = seconds(delegation.until)
        claims[passes.DELEGATION] = [delegation.role, until]
        claims[cose.EXP] = min(claims[cose.EXP], until // HOUR * HOUR)
    if entry is not None:
        claims[passes.ENTRY] = entry.to_claim()
        claims[cose.EXP] = min(claims[cose.EXP], entry.end)
    if claims[cose.EXP] <= seconds(now):
        raise RecordError("nothing is left of its time", field="scenes")
    return claims


def _carried(
    scenes: Sequence[Scene], attributes: Mapping[str, Any], delegation: Delegation | None
) -> dict[str, Any]:
    if not all(name in ATTRIBUTES for name in attributes):
        raise RecordError("an attribute that no scene knows", field="attributes")
    wanted: set[str] = set().union(*(scene.attributes for scene in scenes))
    carried: dict[str, Any] = {name: value for name, value in attributes.items() if name in wanted}
    if delegation is not None:
        carried[SUBJECT] = delegation.subject_name
        carried[ACTOR] = delegation.actor_name
    return carried


def renewal_due(held: Iterable[Pass], *, now: datetime, ahead: timedelta = timedelta(hours=6)) -> bool:
    """Whether a wallet should fetch passes in the background: none that it holds lives beyond `ahead`."""
    horizon = seconds(now + ahead)
    return all(each.ends_at <= horizon for each in held)
