"""A counter that stays open: one verifier, its lists refreshed beside the work, and what its status bar says.

A refresh that fails changes nothing: the last good lists serve until they are stale, and then they say so
themselves. Without any lists every answer is UNDECIDED.
"""

from __future__ import annotations

import fcntl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import ConfigError, EwalletError, Refused, TrustError
from ewallet.formats import cose, statuslist
from ewallet.moments import seconds
from ewallet.reasons import REASONS, Layer
from ewallet.verify.counter import POLICY_FILE, STATUS_FOLDER, open_trust
from ewallet.verify.files import verify_file
from ewallet.verify.policy import Policy
from ewallet.verify.result import Check, StepResult, refuse
from ewallet.verify.sources import StatusMirror, status_source
from ewallet.verify.verifier import Unspent, Verifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from ewallet.code.challenge import Challenge, Request
    from ewallet.verify.replay import ReplayGuard
    from ewallet.verify.result import Verification

_MOST_LISTS: Final = 256
"""Status lists whose age is looked at for the status bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a terminal finds what it needs.

    Attributes:
        bundle: directory of the gate bundle.
        state: where verified lists are kept.
        policy: policy file; None: the bundle's.
        root: pins the first root of the lists; None: the bundle's.
        status: directory or mirror of status lists; empty: the bundle's.
    """

    bundle: Path
    state: Path
    policy: Path | None = None
    root: Path | None = None
    status: str = ""


class Terminal:
    """A verifier that outlives its lists.

    Args:
        place: where its lists, policy and state are.
        guard: its replay guard.
        name: what its status bar calls it.
        now: when it is opened.

    Raises:
        ConfigError: the policy is missing, wider than its scene, or needs a stronger guard.
    """

    def __init__(self, place: Place, *, guard: ReplayGuard, name: str = "", now: datetime) -> None:
        self._place = place
        self._guard = guard
        self._lock = threading.Lock()
        self._seen = b""
        self._verifier: Verifier | None = None
        self._problem: TrustError | None = None
        self._refreshed: datetime | None = None
        self._ages: dict[Path, tuple[int, int]] = {}
        self.name = name
        self.refresh(now)

    # --- lists ----------------------------------------------------------------------------------------------

    def refresh(self, now: datetime) -> bool:
        """Takes newer lists, if the bundle has them. Never raises for the lists.

        Returns:
            Whether the lists at hand are the bundle's; False when they were refused or cannot be read.

        Raises:
            ConfigError: the first lists came, and the policy does not fit them.
        """
        with self._lock:
            try:
                newest = self._timestamp()
                if newest != self._seen or self._verifier is None:
                    self._load(now)
                    self._seen = newest
            except TrustError as problem:
                self._problem = problem
                return False
            except OSError:
                self._problem = TrustError("trust.stale", "the bundle cannot be read")
                return False
            self._problem, self._refreshed = None, now
            return True

    def _timestamp(self) -> bytes:
        return (self._place.bundle / "repository" / "metadata" / "timestamp.json").read_bytes()

    def _load(self, now: datetime) -> None:
        place = self._place
        refusals: list[TrustError] = []
        with _alone(place.state):
            trust = open_trust(
                place.bundle, state=place.state, now=now, root=place.root, warn=refusals.append
            )
        source = status_source(place.status or place.bundle / STATUS_FOLDER)
        if self._verifier is not None:
            self._verifier = self._verifier.with_trust(trust, source)
        else:
            file = place.policy if place.policy is not None else place.bundle / POLICY_FILE
            policy = Policy.load(file, trust.scenes)
            try:
                self._verifier = Verifier(trust=trust, policy=policy, status=source, replay=self._guard)
            except ValueError as error:
                raise ConfigError(str(error), file=str(file)) from error
        if refusals:
            raise refusals[0]

    # --- answers --------------------------------------------------------------------------------------------

    @property
    def verifier(self) -> Verifier | None:
        """The verifier under the newest good lists; None while there never were any."""
        return self._verifier

    @property
    def remote(self) -> bool:
        """Whether an examination may wait for a network: status lists come from a mirror."""
        return self._place.status.startswith(("http://", "https://"))

    @property
    def problem(self) -> str:
        """Reason for which the newest lists were not taken; empty if they were."""
        return self._problem.reason if self._problem else ""

    def verify(
        self, scanned: str, *, now: datetime, answering: Challenge | Request | None = None
    ) -> Verification:
        """As `Verifier.verify`; UNDECIDED while there are no lists, and for a question that was not asked."""
        found = self.examine(scanned, now=now, answering=answering)
        if not isinstance(found, Unspent):
            return found
        try:
            self._guard.spend(found.spendings, now=now)
        except Refused as refused:
            return found.concluded(refused)
        return found.concluded(None)

    def examine(
        self, scanned: str, *, now: datetime, answering: Challenge | Request | None = None
    ) -> Verification | Unspent:
        """As `Verifier.examine`, with the same care as `verify`."""
        verifier = self._verifier
        if verifier is None:
            return self._no_lists(now)
        if verifier.policy.scene.challenge and answering is None:
            return _ended("code.challenge", "this place asks first", now)
        return verifier.examine(scanned, now=now, answering=answering)

    def verify_file(
        self, data: bytes, *, now: datetime, answering: Challenge | Request | None = None
    ) -> Verification:
        """As `ewallet.verify.files.verify_file`, with the same care as `verify`."""
        verifier = self._verifier
        if verifier is None:
            return self._no_lists(now)
        if verifier.policy.scene.challenge and answering is None:
            return _ended("code.challenge", "this place asks first", now)
        return verify_file(verifier, data, now=now, answering=answering)

    def _no_lists(self, now: datetime) -> Verification:
        reason = self._problem.reason if self._problem else "trust.invalid"
        if reason not in REASONS or REASONS[reason].outcome.value != "UNDECIDED":
            reason = "trust.invalid"
        return _ended(reason, "there are no trust lists", now)

    # --- what the status bar says ---------------------------------------------------------------------------

    def describe(self, now: datetime) -> dict[str, Any]:
        """Age of lists, clock, policy and name, as data for a status bar and for health checks.

        Keys: `terminal`, `now`, `online`, `degraded` (list of reasons; empty when all is well), `trust`
        (`signed_at`, `age`, `fresh`, `root`, `provinces`), `status` (`lists`, `oldest`, `newest`: seconds
        since they were signed), `clock` (`ok`, `behind`), `policy` (`scene`, `names`, `venue`, `province`,
        `challenge`, `forms`).
        """
        verifier = self._verifier
        said: dict[str, Any] = {
            "terminal": self.name,
            "now": now.isoformat(),
            "online": self._problem is None,
            "degraded": [self._problem.reason] if self._problem else [],
            "trust": None,
            "status": self._status_ages(now),
            "clock": {"ok": True, "behind": 0},
            "policy": None,
        }
        if verifier is None:
            return said
        trust, scene = verifier.trust, verifier.policy.scene
        age = trust.age(now)
        try:
            aging = trust.freshness(now, max_age=scene.trust_max_age)
        except Refused as refused:
            said["degraded"].append(refused.reason)
            said["clock"] = {"ok": refused.reason != "clock.unsure", "behind": max(0, -age)}
            aging = True
        said["trust"] = {
            "signed_at": trust.signed_at.isoformat(),
            "age": age,
            "fresh": not aging,
            "root": trust.root,
            "provinces": sorted(trust.provinces),
        }
        said["policy"] = {
            "scene": scene.id,
            "names": dict(scene.names),
            "venue": scene.venue,
            "province": verifier.policy.province,
            "challenge": scene.challenge,
            "forms": sorted(scene.forms),
        }
        oldest = said["status"]["oldest"]
        if oldest is not None and oldest > scene.status_max_age:
            said["degraded"].append("status.stale")
        return said

    def _status_ages(self, now: datetime) -> dict[str, int | None]:
        """How old the status lists of a directory are; a mirror is asked only for lists that are needed."""
        source = status_source(self._place.status or self._place.bundle / STATUS_FOLDER)
        if isinstance(source, StatusMirror):
            return {"lists": None, "oldest": None, "newest": None}
        directory = Path(self._place.status or self._place.bundle / STATUS_FOLDER)
        signed = [at for at in map(self._signed_at, sorted(directory.rglob("*.cwt"))[:_MOST_LISTS]) if at]
        at = seconds(now)
        return {
            "lists": len(signed),
            "oldest": at - min(signed) if signed else None,
            "newest": at - max(signed) if signed else None,
        }

    def _signed_at(self, file: Path) -> int:
        """When a list says that it was signed; 0 if it cannot be read. For display: not verified."""
        try:
            changed = file.stat().st_mtime_ns
            known = self._ages.get(file)
            if known is None or known[0] != changed:
                claims: Mapping[Any, Any] = statuslist.parse(file.read_bytes()).token.unverified_claims
                known = self._ages[file] = (changed, int(claims[cose.IAT]))
        except (OSError, EwalletError, KeyError, TypeError, ValueError):
            return 0
        return known[1]


def _ended(reason: str, detail: str, now: datetime) -> Verification:
    result = StepResult.OPEN if REASONS[reason].outcome.value == "UNDECIDED" else StepResult.FAILED
    check = Check(step=4, name="lists", layer=Layer.GENUINE, result=result, detail=detail)
    return refuse(reason, (check,), at=now)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """One process of a machine at a time changes the kept lists."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lists.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
