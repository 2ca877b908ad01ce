"""Four provinces, driven at random: what must stay true whatever operators, thieves and networks do.

1. Nothing is accepted that its grant does not cover.
2. A removal takes effect at every gate that refreshed after it was published.
3. What was genuine before a compromise stays accepted where its proof exists.
4. Versions never go back at a gate.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ewallet.errors import TrustError
from ewallet.moments import seconds
from ewallet.trust.entries import Grant, Service
from tests.province import AREAS, FOUR, START, TYPE, Signed, World, decide

MEMORY = Path("/dev/shm")
MINUTES = st.one_of(st.integers(1, 60), st.integers(60, 14 * 60)).map(lambda count: timedelta(minutes=count))
TELL = st.sampled_from((True, True, False))
"""Whether a change is published at once and reaches every gate."""
PROVINCE = st.sampled_from(FOUR[:2])
"""Things happen in two of the four, so that they meet; the others must stay as they are."""
GATE = st.sampled_from(("north", "south"))


class Consortium(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.place = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.patch = mock.patch.object(os, "fsync", return_value=None)
        self.patch.start()
        self.world = World(self.place)
        self.now = START
        for code in FOUR:
            grant = Grant(
                types=frozenset((TYPE,)), regions=frozenset((AREAS[code][:4],)), start=seconds(START)
            )
            self.world.authority(code, "market", services=(Service.LICENSES,), grant=grant)
            self.world.authority(code, "registry", services=(Service.REGISTER,))
        self.signed = []
        # What the operators have decided, and what each publishing said.
        self.model = {"windows": {}, "stolen": {}, "suspended": set(), "withdrawn": {}, "brakes": []}
        self.published = None
        self.gates = {name: self.world.gate(name) for name in ("north", "south")}
        self.seen = {}
        self.renew_and_publish()

    def teardown(self):
        if hasattr(self, "patch"):
            self.patch.stop()
            shutil.rmtree(self.place)

    def market(self, code):
        return self.world.authorities[code, "market"]

    def key(self, code):
        return self.market(code).signer(Service.LICENSES).public_key

    # --- what happens ---------------------------------------------------------------------------------------

    @rule(passed=MINUTES)
    def time_passes(self, passed):
        self.now += passed

    @rule(code=PROVINCE, witness=PROVINCE, outside=st.sampled_from(("", "", "", "type", "area")))
    def issue(self, code, witness, outside):
        area = "999999" if outside == "area" else AREAS[code]
        signed = Signed(
            self.market(code),
            Service.LICENSES,
            self.now,
            area=area,
            type_code="another" if outside == "type" else TYPE,
        )
        signed.outside = bool(outside)
        signed.prove(self.world.authorities[witness, "registry"], self.now)
        signed.all_proofs, signed.proven_at = signed.proofs, self.now
        self.signed.append(signed)

    @rule(code=PROVINCE, tell=TELL)
    def rotate(self, code, tell):
        if code in self.model["withdrawn"]:
            return
        old = self.key(code).kid
        self.world.consortium.rotate_key(self.market(code).uri, Service.LICENSES, now=self.now)
        self.model["windows"].setdefault(old, self.now)
        self.tell(tell)

    @rule(code=PROVINCE, since=MINUTES, tell=TELL)
    def compromise(self, code, since, tell):
        """The present key is found to be stolen, some time ago; a new one takes its place."""
        kid, uri = self.key(code).kid, self.market(code).uri
        stolen = max(self.now - since, START)
        self.world.consortium.compromise(uri, Service.LICENSES, kid=kid, since=stolen, now=self.now)
        self.world.consortium.rotate_key(uri, Service.LICENSES, now=self.now)
        self.model["stolen"][kid] = stolen
        self.model["windows"].setdefault(kid, self.now)
        self.tell(tell)

    @rule(code=PROVINCE, witness=PROVINCE)
    def stolen_after_issuing(self, code, witness):
        """What theft and proof are about: issued, stolen an hour later, found out another hour later."""
        self.tell(tell=True)
        self.issue(code=code, witness=witness, outside="")
        self.time_passes(passed=timedelta(hours=2))
        self.compromise(code=code, since=timedelta(hours=1), tell=True)

    @rule(code=PROVINCE, tell=TELL)
    def suspend_or_restore(self, code, tell):
        uri, consortium = self.market(code).uri, self.world.consortium
        if code in self.model["withdrawn"]:
            return
        if code in self.model["suspended"]:
            consortium.restore(uri, Service.LICENSES, now=self.now)
            self.model["suspended"].discard(code)
        else:
            consortium.suspend(uri, Service.LICENSES, now=self.now)
            self.model["suspended"].add(code)
        self.tell(tell)

    @rule(code=PROVINCE, tell=TELL)
    def withdraw(self, code, tell):
        if code in self.model["withdrawn"] or code in self.model["suspended"]:
            return
        self.world.consortium.withdraw(self.market(code).uri, Service.LICENSES, now=self.now)
        self.model["withdrawn"][code] = self.now
        self.tell(tell)

    @rule(code=PROVINCE, length=MINUTES, tell=TELL)
    def brake(self, code, length, tell):
        until = self.now + length
        self.world.consortium.brake({"province": code}, reason="exercise", now=self.now, until=until)
        self.model["brakes"].append((code, self.now, until))
        self.tell(tell)

    def tell(self, tell):
        if tell:
            self.renew_and_publish()
            for name in self.gates:
                self.refresh(name=name)

    @rule()
    def renew_and_publish(self):
        self.world.renew(at=self.now)
        self.published = (deepcopy(self.model), self.now)

    @rule(name=GATE)
    def refresh(self, name):
        """A gate that this rule does not reach is cut off: it keeps what it has."""
        try:
            trust = self.gates[name].refresh(self.world.repository, self.now)
        except TrustError as refusal:
            if refusal.reason != "trust.stale":  # nobody published for a week
                raise
            return
        before = self.seen.get(name)
        if before is not None:
            assert all(trust.versions[role] >= version for role, version in before[0].items())  # 4
        self.seen[name] = (dict(trust.versions), *self.published)

    @precondition(lambda self: self.seen)
    @rule(name=GATE)
    def restart(self, name):
        self.gates[name] = self.world.gate(name)
        if name in self.seen:
            assert dict(self.gates[name].current.versions) == self.seen[name][0]

    # --- what must stay true --------------------------------------------------------------------------------

    @invariant()
    def every_gate_decides_as_it_was_told(self):
        for name, (_, model, published_at) in getattr(self, "seen", {}).items():
            trust = self.gates[name].current
            stale = self.now - published_at > timedelta(hours=36)
            for signed in self.signed[-8:]:
                for proven in (True, False):
                    signed.proofs = signed.all_proofs if proven else []
                    got = decide(trust, signed, self.now)
                    wanted = self.expected(trust, model, signed, proven=proven, stale=stale)
                    assert (got == "") == wanted, (got, wanted)

    def expected(self, trust, model, signed, *, proven, stale):
        code, kid = signed.province, signed.key.kid
        if stale or signed.outside:  # 1
            return False
        if not trust.keys(Service.LICENSES, kid=kid):
            return False  # this gate's lists do not know the key yet
        if code in model["suspended"]:  # 2
            return False
        if any(code == target and start <= self.now < until for target, start, until in model["brakes"]):
            return False
        if code in model["withdrawn"] and signed.at >= model["withdrawn"][code]:
            return False
        if kid in model["windows"] and signed.at >= model["windows"][kid]:
            return False
        if kid in model["stolen"]:  # 3
            return proven and signed.at < model["stolen"][kid] and signed.proven_at < model["stolen"][kid]
        return True


Consortium.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestConsortium = Consortium.TestCase
