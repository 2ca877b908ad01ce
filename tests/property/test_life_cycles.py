"""Random life cycles: after every step the register agrees with itself."""

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from sqlalchemy import func, select

from ewallet.errors import Conflict, NotAllowed
from ewallet.formats import statuslist
from ewallet.keys import SigningKey
from ewallet.licenses import tables
from ewallet.licenses.lifecycle import TRANSITIONS, EventKind, State
from ewallet.licenses.printed import PrintOrder
from ewallet.licenses.register import Register
from tests.agency import NOW, TWO, Agency

_DEVICES = [SigningKey.generate() for _ in range(3)]
_ENDED = {State.REVOKED, State.WITHDRAWN, State.CANCELLED, State.TRANSFERRED, State.LAPSED}


class LifeCycles(RuleBasedStateMachine):
    """An authority that does anything at any time; what it may not do is refused and changes nothing."""

    licenses = Bundle("licenses")

    @initialize()
    def open(self):
        self.place = Path(tempfile.mkdtemp(prefix="ewallet-life-"))
        self.register = Register.open(self.place / "register.db")
        self.register.shard_size = 16
        self.agency = Agency(self.register)
        self.issuer = self.agency.issuer
        self.now = NOW

    def teardown(self):
        if hasattr(self, "register"):
            self.register.close()
            shutil.rmtree(self.place)

    def _tick(self):
        self.now += timedelta(hours=1)
        return self.now

    def _tried(self, license_, kind, act):
        """An act happens exactly if the table allows it."""
        state = self.register.entry(license_).state
        allowed = state in TRANSITIONS[kind]
        events = len(self.register.history(license_))
        try:
            result = act()
        except NotAllowed:
            assert not allowed
            assert len(self.register.history(license_)) == events
            return None
        assert allowed
        assert self.register.entry(license_).state is TRANSITIONS[kind][state]
        return result

    @rule(target=licenses, n=st.integers(1, 3), paper=st.booleans())
    def issue(self, n, paper):
        try:
            issued = self.agency.issue(n=n, printed=PrintOrder() if paper else None, now=self._tick())
        except Conflict:
            return multiple()
        return issued.license.identifier

    @rule(target=licenses, license_=licenses, street=st.integers(1, 99), paper=st.booleans())
    def amend(self, license_, street, paper):
        current = self.register.current(license_).identifier

        def act():
            return self.issuer.amend(
                current,
                {"address": f"样例路{street}号"},
                reason="r",
                printed=PrintOrder() if paper else None,
                now=self._tick(),
            )

        issued = self._tried(license_, EventKind.AMEND, act)
        return multiple() if issued is None else issued.license.identifier

    @rule(license_=licenses)
    def correct(self, license_):
        current = self.register.current(license_).identifier
        changes = {"company_type": "股份有限公司"}
        self._tried(
            license_,
            EventKind.CORRECT,
            lambda: self.issuer.correct(current, changes, reason="r", case=TWO, now=self._tick()),
        )

    @rule(license_=licenses)
    def suspend(self, license_):
        self._tried(
            license_, EventKind.SUSPEND, lambda: self.issuer.suspend(license_, reason="r", now=self._tick())
        )

    @rule(license_=licenses)
    def restore(self, license_):
        self._tried(
            license_, EventKind.RESTORE, lambda: self.issuer.restore(license_, reason="r", now=self._tick())
        )

    @rule(license_=licenses, kind=st.sampled_from([State.REVOKED, State.WITHDRAWN, State.CANCELLED]))
    def end(self, license_, kind):
        event = {
            State.REVOKED: EventKind.REVOKE,
            State.WITHDRAWN: EventKind.WITHDRAW,
            State.CANCELLED: EventKind.CANCEL,
        }[kind]
        self._tried(
            license_,
            event,
            lambda: self.issuer.revoke(license_, kind=kind, reason="r", case=TWO, now=self._tick()),
        )

    @rule(license_=consumes(licenses))
    def transfer(self, license_):
        self._tried(
            license_,
            EventKind.TRANSFER_OUT,
            lambda: self.issuer.transfer_out(license_, to="https://x.example", reason="r", now=self._tick()),
        )

    @rule(license_=licenses, device=st.sampled_from(_DEVICES))
    def bind(self, license_, device):
        now = self._tick()
        proof = self.agency.proof(device, now)
        self._tried(
            license_,
            EventKind.BIND,
            lambda: self.issuer.bind(license_, 0, device.public_key, proof, now=now),
        )

    @invariant()
    def one_live_license_for_a_holder(self):
        if not hasattr(self, "register"):
            return
        table = tables.license_.c
        with self.register.reading() as connection:
            most = connection.execute(
                select(func.count())
                .where(table.state.in_(["valid", "suspended"]))
                .group_by(table.type_code, table.holder)
                .order_by(func.count().desc())
                .limit(1)
            ).scalar()
        assert (most or 0) <= 1

    @invariant()
    def history_replays_to_the_same_state(self):
        if not hasattr(self, "register"):
            return
        events = self.register.feed(limit=10_000)
        assert [event.id for event in events] == list(range(1, len(events) + 1))
        replayed = {}
        for event in events:
            before = replayed.get(event.license_id)
            if before is None:
                assert event.kind is EventKind.ISSUE
                replayed[event.license_id] = (State.VALID, 1)
                continue
            state, version = before
            after = TRANSITIONS[event.kind][state]
            more = event.kind in {EventKind.AMEND, EventKind.CORRECT}
            replayed[event.license_id] = (after, version + more)
            assert (event.state, event.version) == replayed[event.license_id]
        with self.register.reading() as connection:
            found = connection.execute(
                select(tables.license_.c.id, tables.license_.c.state, tables.license_.c.version)
            ).all()
        assert {row.id: (State(row.state), row.version) for row in found} == replayed

    @invariant()
    def status_entries_say_what_the_register_says(self):
        if not hasattr(self, "register"):
            return
        with self.register.reading() as connection:
            rows = connection.execute(
                select(
                    tables.slot,
                    tables.license_.c.state,
                    tables.license_.c.version.label("newest"),
                    tables.device.c.ended_at,
                )
                .join(tables.license_, tables.license_.c.id == tables.slot.c.license_id)
                .outerjoin(
                    tables.device, (tables.slot.c.kind == "h") & (tables.device.c.id == tables.slot.c.ref)
                )
            ).all()
            used = connection.execute(select(func.sum(tables.shard.c.used))).scalar() or 0
        assert len({(row.shard, row.idx) for row in rows}) == len(rows) <= used
        for row in rows:
            state = State(row.state)
            if row.ended_at is not None or state in _ENDED:
                expected = {statuslist.INVALID}
                if row.ended_at is not None and state not in _ENDED:
                    expected = {statuslist.INVALID, statuslist.SUPERSEDED}
            elif row.version < row.newest:
                expected = {statuslist.SUPERSEDED}
            else:
                expected = {statuslist.SUSPENDED if state is State.SUSPENDED else statuslist.VALID}
            assert row.value in expected

    @invariant()
    def published_lists_agree(self):
        if not hasattr(self, "register"):
            return
        self.register.publish_status(self.place / "pub", self.agency.status_key, now=self.now)
        with self.register.reading() as connection:
            rows = connection.execute(
                select(tables.slot.c.idx, tables.slot.c.value, tables.shard.c.uri).join(
                    tables.shard, tables.shard.c.id == tables.slot.c.shard
                )
            ).all()
        lists = {}
        for row in rows:
            if row.uri not in lists:
                file = self.place / "pub" / (row.uri.removeprefix("https://") + ".cwt")
                lists[row.uri] = statuslist.verify(
                    file.read_bytes(), self.agency.status_key.public_key, uri=row.uri, now=self.now
                ).entries
            assert lists[row.uri].get(row.idx) == row.value


TestLifeCycles = LifeCycles.TestCase
TestLifeCycles.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
