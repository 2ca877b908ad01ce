"""Figures for evaluation and supervision: per matter, authority and day; from records, never about a person.

What is counted comes from the register's events, the uses that were shared, a counter's log and the rating
service; each source is optional, and a figure whose source was not given is absent, not zero. Shares are None
where there is nothing to divide by.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, fields
from html import escape
from typing import TYPE_CHECKING, Any, Final

from ewallet.licenses.lifecycle import EventKind
from ewallet.moments import day_of, instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

    from ewallet.licenses.lifecycle import Event
    from ewallet.licenses.reconcile import Summary
    from ewallet.licenses.register import Register
    from ewallet.licenses.sharing import Use
    from ewallet.verify.ratings import Correction, Totals

_PAGE: Final = 1000


@dataclass(slots=True, kw_only=True)
class Counts:
    """What happened for one matter, at one authority or venue, on one day.

    Attributes:
        issued: licenses issued.
        changed: amendments and renewals.
        ended: licenses that were withdrawn, cancelled or revoked.
        corrected: mistakes corrected.
        late: licenses that reached the register on a later day than their day of issue.
        shown: verifications of what a holder showed that were accepted.
        refused: verifications that were rejected.
        undecided: verifications that could not be decided.
        shared: copies handed out with the holder's consent.
        waived: copies fetched by law: nothing was asked of anybody.
    """

    issued: int = 0
    changed: int = 0
    ended: int = 0
    corrected: int = 0
    late: int = 0
    shown: int = 0
    refused: int = 0
    undecided: int = 0
    shared: int = 0
    waived: int = 0

    @property
    def uses(self) -> int:
        """How often an electronic license stood for a paper one."""
        return self.shown + self.shared + self.waived

    @property
    def waived_share(self) -> float | None:
        """Of those, the share for which the holder was asked for nothing."""
        return self.waived / self.uses if self.uses else None

    def add(self, other: Counts) -> None:
        """Adds another line's figures."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))


@dataclass(slots=True, kw_only=True)
class Statistics:
    """Figures of a span of days.

    Attributes:
        first: first day.
        last: last day.
        lines: figures by day, authority or venue, and matter.
        consistency: share of checked licenses whose paper and electronic copies agree; None: not checked.
        ratings: totals by venue, where enough have rated.
        corrections: cases that bad ratings opened: open and answered.
    """

    first: date
    last: date
    lines: dict[tuple[date, str, str], Counts] = field(default_factory=lambda: defaultdict(Counts))
    consistency: float | None = None
    ratings: dict[str, tuple[int, int]] = field(default_factory=dict)
    corrections: dict[str, int] = field(default_factory=lambda: {"open": 0, "answered": 0})

    # --- sources --------------------------------------------------------------------------------------------

    def _line(self, at: int, who: str, matter: str) -> Counts | None:
        day = day_of(instant(at))
        return self.lines[day, who, matter] if self.first <= day <= self.last else None

    def add_register(self, register: Register, authority: str) -> None:
        """Counts the events of a register."""
        for event in _events(register):
            line = self._line(event.at, authority, event.case.matter)
            if line is None:
                continue
            if event.kind in (EventKind.ISSUE, EventKind.TRANSFER_IN):
                line.issued += 1
                license_ = register.license(register.identifier_of(event.license_id, event.version))
                line.late += license_.issued_on < day_of(instant(event.at))
            elif event.kind in (EventKind.AMEND, EventKind.RENEW):
                line.changed += 1
            elif event.kind in (EventKind.WITHDRAW, EventKind.CANCEL, EventKind.REVOKE):
                line.ended += 1
            elif event.kind is EventKind.CORRECT:
                line.corrected += 1

    def add_shared(self, uses: Iterable[Use], authority: str) -> None:
        """Counts copies that were handed out."""
        for use in uses:
            line = self._line(use.at, authority, use.matter.partition(" ")[0])
            if line is None or use.code or use.side != "supplied":
                continue
            if use.ground.startswith("law:"):
                line.waived += 1
            else:
                line.shared += 1

    def add_log(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Counts the records of a counter's log."""
        columns = {"ACCEPTED": "shown", "REJECTED": "refused", "UNDECIDED": "undecided"}
        for record in records:
            line = self._line(record["at"], record["venue"], record["matter"])
            if line is not None:
                column = columns[record["outcome"]]
                setattr(line, column, getattr(line, column) + 1)

    def add_ratings(self, totals: Iterable[Totals | None], cases: Iterable[Correction]) -> None:
        """Takes the totals that the rating service shows, and its cases."""
        for each in totals:
            if each is not None:
                self.ratings[each.venue] = (each.good, each.bad)
        for case in cases:
            self.corrections["answered" if case.answered else "open"] += 1

    def add_consistency(self, summary: Summary) -> None:
        """Takes the outcome of a reconciliation."""
        if summary.checked:
            self.consistency = max(0.0, 1 - summary.findings / summary.checked)

    # --- what is told ---------------------------------------------------------------------------------------

    def total(self) -> Counts:
        """All lines together."""
        whole = Counts()
        for line in self.lines.values():
            whole.add(line)
        return whole

    def table(self) -> list[dict[str, Any]]:
        """One row for each day, authority and matter, in this order."""
        return [
            {"day": day.isoformat(), "authority": who, "matter": matter, **_figures(counts)}
            for (day, who, matter), counts in sorted(self.lines.items())
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything as data."""
        return {
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "total": _figures(self.total()),
            "consistency": self.consistency,
            "ratings": {venue: {"good": good, "bad": bad} for venue, (good, bad) in self.ratings.items()},
            "corrections": self.corrections,
            "lines": self.table(),
        }

    def to_html(self) -> str:
        """One page that needs nothing else."""
        return "".join(_html(self))


def _figures(counts: Counts) -> dict[str, Any]:
    told: dict[str, Any] = {item.name: getattr(counts, item.name) for item in fields(counts)}
    return {**told, "uses": counts.uses, "waived_share": counts.waived_share}


def _events(register: Register) -> Iterator[Event]:
    after = 0
    while page := register.feed(after=after, limit=_PAGE):
        yield from page
        after = page[-1].id


HEADS: Final = {
    "day": ("日期", "Day"),
    "authority": ("机关或窗口", "Authority or venue"),
    "matter": ("事项", "Matter"),
    "issued": ("签发", "Issued"),
    "changed": ("变更", "Changed"),
    "ended": ("终止", "Ended"),
    "corrected": ("更正", "Corrected"),
    "late": ("迟延", "Late"),
    "shown": ("出示通过", "Shown"),
    "refused": ("不通过", "Refused"),
    "undecided": ("无法判定", "Undecided"),
    "shared": ("经同意调取", "With consent"),
    "waived": ("免交", "Waived"),
    "uses": ("用证", "Uses"),
    "waived_share": ("免交率", "Waived share"),
}
"""Heads of the table, zh and en."""


def shown(value: object) -> str:
    """A figure for a table: shares in percent, absent ones as a dash."""
    if value is None:
        return "–"
    return f"{value:.1%}" if isinstance(value, float) else str(value)


def _html(found: Statistics) -> Iterator[str]:
    yield (
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8"><title>用证统计</title>'
        "<style>body{font:16px/1.5 sans-serif;margin:2rem}table{border-collapse:collapse}"
        "th,td{border:1px solid #999;padding:.3rem .6rem;text-align:right}"
        "th:nth-child(-n+3),td:nth-child(-n+3){text-align:left}</style></head><body>"
    )
    yield f"<h1>用证统计 · Use of licenses</h1><p>{found.first} – {found.last}</p>"
    yield f"<p>一致率 Consistency: {shown(found.consistency)} · "
    yield f"更正案件 Corrections: {found.corrections['answered']} / {sum(found.corrections.values())}</p>"
    for venue, (good, bad) in sorted(found.ratings.items()):
        yield f"<p>好评 Good: {good}, 差评 Bad: {bad} · {escape(venue)}</p>"
    yield "<table><thead><tr>"
    yield "".join(f'<th scope="col">{zh}<br>{en}</th>' for zh, en in HEADS.values())
    yield "</tr></thead><tbody>"
    total = {"day": "合计 Total", "authority": "", "matter": "", **_figures(found.total())}
    for row in (*found.table(), total):
        yield "<tr>" + "".join(f"<td>{escape(shown(row[key]))}</td>" for key in HEADS) + "</tr>"
    yield "</tbody></table></body></html>\n"
