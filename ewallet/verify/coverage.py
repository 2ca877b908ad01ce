"""What verified licenses cover of a matter: waived, covered, still needed, demanded on paper.

Only ACCEPTED presentations and documents count; what was refused or could not be decided covers nothing,
and neither does a seal, whose fields are masked. Nothing here asks a list or a clock: the verifications carry
what was decided, and `now` is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ewallet.errors import RecordError
from ewallet.moments import day_of
from ewallet.reasons import Outcome
from ewallet.verify.matters import Rule
from ewallet.verify.result import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from ewallet.verify.matters import Material, Matter, Physical, Reference, Review
    from ewallet.verify.result import LicenseFacts, Verification

COUNTING: Final = frozenset((Kind.PRESENTATION, Kind.DOCUMENT))
"""What can cover a material: a seal masks its fields, a code speaks of no license."""

LONG_TERM: Final = "long-term"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a verified value comes from.

    Attributes:
        material: id of the material that the license covers.
        type: code of the license type, as this province reads it.
        identifier: identifier of the license; empty if it was not disclosed.
        issuer: URI of the issuer.
        field: key of the field, empty for the license as a whole.
        version: version of the license; None if it was not disclosed.
        at: when it was verified.
    """

    material: str
    type: str
    identifier: str
    issuer: str
    field: str
    version: int | None
    at: datetime


class Why(StrEnum):
    """Why a material stands where it stands."""

    RETRIEVED = "retrieved"
    LICENSE = "license"
    FIELD = "field"
    NOT_SHOWN = "not-shown"
    NOT_ACCEPTED = "not-accepted"
    FIELDS_MISSING = "fields-missing"
    UNMATCHED = "unmatched"
    OTHER_HOLDER = "other-holder"
    SEVERAL = "several"
    NO_LICENSE = "no-license"


WHY: Final[dict[Why, tuple[str, str]]] = {
    Why.RETRIEVED: (
        "由本市部门签发，窗口自行调取",
        "Issued by the city's own authority: the office fetches it",
    ),
    Why.LICENSE: ("已由电子证照代替", "Covered by an e-license"),
    Why.FIELD: ("已由电子证照中的信息代替", "Covered by a field of an e-license"),
    Why.NOT_SHOWN: ("请出示电子证照", "Show the e-license"),
    Why.NOT_ACCEPTED: ("出示的电子证照未通过核验", "The e-license that was shown was not accepted"),
    Why.FIELDS_MISSING: ("出示的电子证照缺少所需信息", "The e-license does not disclose the fields needed"),
    Why.UNMATCHED: (
        "无法确认电子证照属于谁，请先出示相关证照",
        "Whose it is cannot be told: show the related one",
    ),
    Why.OTHER_HOLDER: ("电子证照属于他人", "The e-license belongs to somebody else"),
    Why.SEVERAL: ("出示了多份内容不同的证照", "Several different licenses were shown"),
    Why.NO_LICENSE: ("请提交此材料", "Hand in this material"),
}
"""Sentences, zh and en."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A material that nobody has to bring.

    Attributes:
        material: which.
        why: retrieved, license or field.
        matters: ids of the matters that need it.
        source: the license; None where the office fetches it.
    """

    material: Material
    why: Why
    matters: tuple[str, ...]
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A material that is still asked for.

    Attributes:
        material: which.
        why: what is missing.
        matters: ids of the matters that need it.
        fields: fields that the license did not disclose.
    """

    material: Material
    why: Why
    matters: tuple[str, ...]
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPaper:
    """A material whose physical form a law demands.

    Attributes:
        material: which.
        demands: the citations, by id of the matter.
        matters: ids of all matters that need the material.
        source: a license that tells its fields all the same; None if none was shown.
    """

    material: Material
    demands: Mapping[str, Physical]
    matters: tuple[str, ...]
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefilled:
    """A form field filled from a license.

    Attributes:
        key: key of the form field.
        names: zh and en.
        value: the value; empty where sources differ and a person has to decide.
        source: where it comes from.
        differing: sources that say something else.
    """

    key: str
    names: Mapping[str, str]
    value: str
    source: Source
    differing: tuple[Source, ...] = ()


class Finding(StrEnum):
    """How an element of review came out."""

    MET = "met"
    NOT_MET = "not-met"
    PERSON = "needs-a-person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """An element of review and its finding.

    Attributes:
        matter: id of the matter.
        review: the element.
        finding: met, not met, or for a person to decide.
        sources: fields that it was decided over.
    """

    matter: str
    review: Review
    finding: Finding
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What is settled and what is not. Every material of the matter stands in exactly one list.

    Attributes:
        matter: the matter.
        at: when.
        waived: the office fetches it itself.
        covered: an e-license covers it.
        needed: still asked for.
        on_paper: a law demands the physical one.
        form: form fields that are filled.
        reviews: elements of review.
    """

    matter: Matter
    at: datetime
    waived: tuple[Settled, ...]
    covered: tuple[Settled, ...]
    needed: tuple[Asked, ...]
    on_paper: tuple[OnPaper, ...]
    form: tuple[Prefilled, ...]
    reviews: tuple[Reviewed, ...]


def cover(matter: Matter, verifications: Iterable[Verification], *, now: datetime) -> Coverage:
    """What verified licenses cover of a matter.

    Args:
        matter: the matter, single or joint.
        verifications: what was shown, as verified at this counter.
        now: the time; demands of law are judged for this day in Shanghai.
    """
    return _Covering(matter, tuple(verifications), now).coverage()


@dataclass(frozen=True, slots=True)
class _Shown:
    """One license, as this province reads it."""

    type: str
    facts: LicenseFacts
    fields: Mapping[str, object]
    accepted: bool
    at: datetime


def _shown(verifications: Iterable[Verification]) -> Iterator[_Shown]:
    for each in verifications:
        if each.facts is None or each.kind not in COUNTING:
            continue
        for facts in each.facts.licenses:
            local = facts.local
            yield _Shown(
                type=facts.type if local is None else local.type.type,
                facts=facts,
                fields=facts.fields if local is None else local.fields,
                accepted=each.outcome is Outcome.ACCEPTED,
                at=each.at,
            )


class _Covering:
    """One call of `cover`: licenses are matched to materials first, everything else follows."""

    def __init__(self, matter: Matter, verifications: tuple[Verification, ...], now: datetime) -> None:
        self.matter = matter
        self.now = now
        self.day = day_of(now)
        self.shown = tuple(_shown(verifications))
        self.users: dict[str, list[str]] = {}
        self.demands: dict[str, dict[str, Physical]] = {}
        for single in matter.single:
            for need in single.needs:
                self.users.setdefault(need.material.id, []).append(single.id)
                if need.physical is not None and need.physical.holds(self.day):
                    self.demands.setdefault(need.material.id, {})[single.id] = need.physical
        self.matched: dict[str, _Shown] = {}
        self.missing: dict[str, Asked] = {}
        self._match()

    # --- which license covers which material ----------------------------------------------------------------

    def _match(self) -> None:
        """Until nothing more is found: a material that must agree with another waits for that one."""
        open_ = {material.id: material for material in self.matter.materials if material.types}
        progress = True
        while open_ and progress:
            progress = False
            for key, material in list(open_.items()):
                if all(
                    each.material in self.matched or each.material not in open_
                    for each in material.same.values()
                ):
                    self._match_one(material)
                    del open_[key]
                    progress = True
        for material in open_.values():  # they wait for each other
            self._ask(material, Why.UNMATCHED)

    def _match_one(self, material: Material) -> None:
        of_type = [each for each in self.shown if each.type in material.types]
        accepted = [each for each in of_type if each.accepted]
        if not accepted:
            self._ask(material, Why.NOT_ACCEPTED if of_type else Why.NOT_SHOWN)
            return
        wanted = {key: self._value(reference) for key, reference in material.same.items()}
        if None in wanted.values():
            self._ask(material, Why.UNMATCHED)
            return
        own = [
            each for each in accepted if all(each.fields.get(key) == value for key, value in wanted.items())
        ]
        if not own:
            hidden = any(not wanted.keys() <= each.fields.keys() for each in accepted)
            self._ask(material, Why.UNMATCHED if hidden else Why.OTHER_HOLDER)
            return
        full = [each for each in own if material.fields <= each.fields.keys()]
        if not full:
            lacking = min((material.fields - each.fields.keys() for each in own), key=len)
            self._ask(material, Why.FIELDS_MISSING, tuple(sorted(lacking)))
        elif any(full[0].fields[key] != each.fields[key] for each in full[1:] for key in material.fields):
            self._ask(material, Why.SEVERAL)
        else:
            self.matched[material.id] = max(full, key=lambda each: len(each.fields))

    def _ask(self, material: Material, why: Why, fields: tuple[str, ...] = ()) -> None:
        self.missing[material.id] = Asked(
            material=material, why=why, matters=tuple(self.users[material.id]), fields=fields
        )

    # --- values ---------------------------------------------------------------------------------------------

    def _value(self, reference: Reference) -> str | None:
        shown = self.matched.get(reference.material)
        value = None if shown is None else shown.fields.get(reference.field)
        return value if isinstance(value, str) and value else None

    def _source(self, material: str, field: str = "") -> Source | None:
        shown = self.matched.get(material)
        if shown is None:
            return None
        return Source(
            material=material,
            type=shown.type,
            identifier=shown.facts.identifier,
            issuer=shown.facts.issuer,
            field=field,
            version=shown.facts.version,
            at=shown.at,
        )

    # --- the answer -----------------------------------------------------------------------------------------

    def coverage(self) -> Coverage:
        waived, covered, needed, on_paper = [], [], [], []
        for material in self.matter.materials:
            users, source = tuple(self.users[material.id]), self._source(material.id)
            if material.id in self.demands:
                demands = self.demands[material.id]
                on_paper.append(OnPaper(material=material, demands=demands, matters=users, source=source))
            elif source is not None:
                why = Why.FIELD if material.by_field else Why.LICENSE
                covered.append(Settled(material=material, why=why, matters=users, source=source))
            elif material.retrieved_from:
                waived.append(Settled(material=material, why=Why.RETRIEVED, matters=users))
            else:
                bring = Asked(material=material, why=Why.NO_LICENSE, matters=users)
                needed.append(self.missing.get(material.id, bring))
        return Coverage(
            matter=self.matter,
            at=self.now,
            waived=tuple(waived),
            covered=tuple(covered),
            needed=tuple(needed),
            on_paper=tuple(on_paper),
            form=tuple(self._form()),
            reviews=tuple(self._reviews()),
        )

    def _form(self) -> Iterator[Prefilled]:
        merged: dict[str, tuple[Mapping[str, str], list[Reference]]] = {}
        for single in self.matter.single:
            for item in single.form:
                sources = merged.setdefault(item.key, (item.names, []))[1]
                sources.extend(each for each in item.sources if each not in sources)
        for key, (names, references) in merged.items():
            told = [(self._value(each), self._source(each.material, each.field)) for each in references]
            filled = [(value, source) for value, source in told if value is not None and source is not None]
            if filled:
                first, source = filled[0]
                differing = tuple(other for value, other in filled[1:] if value != first)
                value = "" if differing else first
                yield Prefilled(key=key, names=names, value=value, source=source, differing=differing)

    def _reviews(self) -> Iterator[Reviewed]:
        for single in self.matter.single:
            for review in single.reviews:
                used = [each for each in (review.left, review.right) if each is not None]
                values = [self._value(each) for each in used]
                sources = [self._source(each.material, each.field) for each in used]
                told = [value for value in values if value is not None]
                finding = Finding.PERSON if len(told) < len(used) else _decide(review, told, self.day)
                yield Reviewed(
                    matter=single.id,
                    review=review,
                    finding=finding,
                    sources=tuple(each for each in sources if each is not None),
                )


def _decide(review: Review, values: list[str], day: date) -> Finding:
    """A rule over values that are all there; what it cannot read is a person's to decide."""
    if review.rule is Rule.PERSON or not values:
        return Finding.PERSON
    good: bool
    match review.rule:
        case Rule.PRESENT:
            good = True
        case Rule.EQUAL:
            good = values[0] == values[1]
        case Rule.ONE_OF:
            good = values[0] in review.values
        case Rule.STILL_AHEAD if values[0] == LONG_TERM:
            good = True
        case _:
            try:
                named = date.fromisoformat(values[0])
            except ValueError:
                return Finding.PERSON
            if review.rule is Rule.STILL_AHEAD:
                good = named >= day
            else:
                good = (_age(named, day) >= review.years) == (review.rule is Rule.AGE_FROM)
    return Finding.MET if good else Finding.NOT_MET


def _age(born: date, day: date) -> int:
    """Full years; who was born on 29 February is a year older on 1 March of a common year."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


# --- the comprehensive window -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one authority does of an accepted case.

    Attributes:
        id: number of the task within the case, 1 first.
        authority: zh and en.
        matters: ids of its matters.
        after: numbers of the tasks that must be done before.
        materials: ids of the materials that go with it, however they were settled.
        form: filled fields.
    """

    id: int
    authority: Mapping[str, str]
    matters: tuple[str, ...]
    after: tuple[int, ...]
    materials: tuple[str, ...]
    form: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOut:
    """The one hand-out at the end: everything that the applicant gets, at once."""

    number: str
    results: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A case as accepted at the comprehensive window.

    Attributes:
        number: case number.
        matter: id of the matter.
        at: when.
        tasks: one for each authority and step.
        results: what each matter gives, by its id.
    """

    number: str
    matter: str
    at: datetime
    tasks: tuple[Task, ...]
    results: Mapping[str, Mapping[str, str]]

    def ready(self, done: Collection[int]) -> tuple[Task, ...]:
        """The tasks that may begin now."""
        return tuple(
            task for task in self.tasks if task.id not in done and all(each in done for each in task.after)
        )

    def hand_out(self, done: Collection[int]) -> HandOut | None:
        """The one hand-out, once every task is done; None before."""
        if not all(task.id in done for task in self.tasks):
            return None
        return HandOut(number=self.number, results=self.results)


def accept(
    coverage: Coverage,
    *,
    number: str,
    received: Collection[str] = (),
    checked: Collection[str] = (),
    now: datetime,
) -> Acceptance:
    """Accepts a case once for all its authorities.

    Args:
        coverage: what `cover` found.
        number: case number.
        received: ids of materials that were handed in: each that is still needed or demanded on paper.
        checked: ids of elements of review that a person found met.
        now: the time.

    Raises:
        RecordError: something is still missing, an element is not met, or one waits for a person.
    """
    open_ = [each.material.id for each in coverage.needed]
    open_ += [each.material.id for each in coverage.on_paper]
    for material in open_:
        if material not in received:
            raise RecordError("still needed", field=material)
    for material in received:
        if material not in open_:
            raise RecordError("nobody asks for it: it is not taken", field=material)
    for reviewed in coverage.reviews:
        if reviewed.finding is Finding.NOT_MET:
            raise RecordError("this element of review is not met", field=reviewed.review.id)
        if reviewed.finding is Finding.PERSON and reviewed.review.id not in checked:
            raise RecordError("this element of review waits for a person", field=reviewed.review.id)
    return Acceptance(
        number=number,
        matter=coverage.matter.id,
        at=now,
        tasks=_tasks(coverage),
        results={each.id: each.result for each in coverage.matter.single},
    )


def _tasks(coverage: Coverage) -> tuple[Task, ...]:
    """One task for each authority; matters of one authority that wait for different ones stay apart."""
    matter = coverage.matter
    after = {part.matter: part.after for part in matter.parts}
    groups: dict[tuple[str, tuple[str, ...]], list[Matter]] = {}
    for single in matter.single:
        groups.setdefault((single.authority["zh"], after.get(single.id, ())), []).append(single)
    place = {single.id: number for number, group in enumerate(groups.values(), 1) for single in group}
    values = {each.key: each.value for each in coverage.form if each.value}
    tasks = []
    for number, ((_, before), group) in enumerate(groups.items(), 1):
        keys = dict.fromkeys(item.key for single in group for item in single.form)
        tasks.append(
            Task(
                id=number,
                authority=group[0].authority,
                matters=tuple(single.id for single in group),
                after=tuple(sorted({place[each] for each in before} - {number})),
                materials=tuple(dict.fromkeys(need.material.id for single in group for need in single.needs)),
                form={key: values[key] for key in keys if key in values},
            )
        )
    return tuple(tasks)
