"""Reports of a reconciliation: lines for programs, a summary for the terminal, one page for a manager.

Findings are written as they come. None of the three holds a field's value: who needs it looks into the
register, where looking is logged.
"""

from __future__ import annotations

import csv
from html import escape
from typing import TYPE_CHECKING, Final, Protocol

from ewallet.licenses.reconcile import KINDS, Kind

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping
    from typing import TextIO

    from ewallet.licenses.reconcile import Finding, Summary

_COLUMNS: Final = ("kind", "type", "number", "identifier", "area", "day", "field", "row")
_MOST_BARS: Final = 60
_WORDS: Final = {
    "title": ("对账报告", "Reconciliation report"),
    "against": ("对照", "compared with"),
    "at": ("时间", "at"),
    "checked": ("核对证照", "licenses checked"),
    "rows": ("部门数据行", "rows of the agency's list"),
    "findings": ("发现问题", "findings"),
    "took": ("用时（秒）", "seconds"),
    "clean": ("未发现问题。", "Nothing was found."),
    "none": ("没有可核对的证照。", "There was nothing to check."),
    "kinds": ("按问题类型", "By kind"),
    "types": ("按证照类型", "By type"),
    "areas": ("按区划", "By district"),
    "days": ("按发证日期", "By day of issue"),
    "licenses": ("证照", "licenses"),
    "not_compared": (
        "部门数据没有的字段（未核对）",
        "fields that the agency's list does not have (not compared)",
    ),
    "unknown": ("未知", "unknown"),
    "more": ("其余", "others"),
}


class FindingsWriter(Protocol):
    """Takes findings one at a time."""

    def __call__(self, finding: Finding) -> None:
        """Write one."""


def json_lines(stream: TextIO) -> FindingsWriter:
    """Findings as JSON Lines, one object each."""

    def write(finding: Finding) -> None:
        stream.write(finding.to_json() + "\n")

    return write


def csv_lines(stream: TextIO) -> FindingsWriter:
    """Findings as CSV with a header; open the file with `newline=""`."""
    writer = csv.writer(stream)
    writer.writerow(_COLUMNS)

    def write(finding: Finding) -> None:
        writer.writerow(
            (
                finding.kind.value,
                finding.type_key,
                _safe(finding.number),
                finding.identifier,
                finding.area,
                finding.day,
                _safe(finding.field),
                finding.row,
            )
        )

    return write


def text_summary(summary: Summary, lang: str = "zh") -> str:
    """The summary for a terminal."""
    say = _words(lang)
    lines = [
        f"{say['title']} · {say['against']} {summary.compared_with}",
        f"{say['checked']}: {summary.checked}",
    ]
    if summary.rows:
        lines.append(f"{say['rows']}: {summary.rows}")
    lines.append(f"{say['findings']}: {summary.findings}")
    if not summary.findings:
        lines.append(say["clean"] if summary.checked else say["none"])
    lines += [
        f"  {count:>8}  {kind:<16} {KINDS[Kind(kind)][0 if lang == 'zh' else 1]}"
        for kind, count in summary.kinds.most_common()
    ]
    if summary.not_compared:
        lines.append(f"{say['not_compared']}: {'、'.join(summary.not_compared)}")
    return "\n".join(lines)


def html_report(summary: Summary, lang: str = "zh") -> str:
    """One page that needs nothing else: counts and charts by kind, type, district and day."""
    say = _words(lang)
    kinds = {
        KINDS[Kind(kind)][0 if lang == "zh" else 1]: count for kind, count in summary.kinds.most_common()
    }
    state = "clean" if summary.clean else "found"
    at = summary.started_at.isoformat(timespec="minutes")
    about = f"{say['against']} {summary.compared_with} · {at}"
    tiles = [
        (say["checked"], f"{summary.checked:,}"),
        (say["findings"], f"{summary.findings:,}"),
        (say["took"], f"{summary.took:.1f}"),
    ]
    if summary.rows:
        tiles.insert(1, (say["rows"], f"{summary.rows:,}"))
    parts = [
        f'<!doctype html><html lang="{"zh-CN" if lang == "zh" else "en"}"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(say['title'])}</title><style>{_STYLE}</style></head><body>",
        f"<header><h1>{escape(say['title'])}</h1><p>{escape(about)}</p></header>",
        f'<div class="tiles {state}">',
        *(f"<div><b>{value}</b><span>{escape(label)}</span></div>" for label, value in tiles),
        "</div>",
    ]
    if not summary.findings:
        parts.append(f"<p>{escape(say['clean'] if summary.checked else say['none'])}</p>")
    else:
        parts.append(_bars(say["kinds"], kinds, say))
    for key, table in (("types", summary.types), ("areas", summary.areas), ("days", summary.days)):
        parts.append(_section(say[key], table, say, by_day=key == "days"))
    if summary.not_compared:
        names = "、".join(summary.not_compared)
        parts.append(f"<p>{escape(say['not_compared'])}: {escape(names)}</p>")
    parts.append("</body></html>")
    return "\n".join(parts)


def _words(lang: str) -> dict[str, str]:
    return {key: both[0 if lang == "zh" else 1] for key, both in _WORDS.items()}


def _safe(value: str) -> str:
    """A cell that no spreadsheet takes for a formula: what an agency's list holds is foreign."""
    return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _bars(title: str, values: Mapping[str, int], say: Mapping[str, str]) -> str:
    """A bar for each value, longest first, as inline SVG."""
    shown = list(values.items())[:_MOST_BARS]
    rest = sum(values.values()) - sum(count for _, count in shown)
    if rest:
        shown.append((say["more"], rest))
    most = max((count for _, count in shown), default=0) or 1
    rows = []
    for place, (label, count) in enumerate(shown):
        y = place * 26
        width = max(round(420 * count / most), 1)
        rows.append(
            f'<text x="250" y="{y + 17}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="260" y="{y + 4}" width="{width}" height="18" rx="2"/>'
            f'<text x="{266 + width}" y="{y + 17}" class="n">{count:,}</text>'
        )
    height = len(shown) * 26 + 4
    return (
        f'<section><h2>{escape(title)}</h2><svg viewBox="0 0 780 {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(rows)}</svg></section>'
    )


def _section(title: str, table: Mapping[str, Counter[str]], say: Mapping[str, str], *, by_day: bool) -> str:
    order = sorted(table) if by_day else sorted(table, key=lambda key: (-table[key]["findings"], key))
    findings = {key or say["unknown"]: table[key]["findings"] for key in order if table[key]["findings"]}
    chart = _bars(title, findings, say) if findings else f"<section><h2>{escape(title)}</h2></section>"
    rows = "".join(
        f"<tr><td>{escape(key or say['unknown'])}</td><td>{table[key]['licenses']:,}</td>"
        f"<td>{table[key]['findings']:,}</td></tr>"
        for key in order[: 5 * _MOST_BARS]
    )
    head = f"<tr><th></th><th>{escape(say['licenses'])}</th><th>{escape(say['findings'])}</th></tr>"
    return f"{chart}<details><summary>{escape(title)}</summary><table>{head}{rows}</table></details>"


_STYLE: Final = (
    "body{font:15px/1.6 system-ui,'Noto Sans SC','PingFang SC','Microsoft YaHei',sans-serif;max-width:860px;"
    "margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}"
    "h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}"
    "header p{color:#5b6675;margin:.2rem 0 1rem}.tiles{display:flex;gap:1rem;flex-wrap:wrap}"
    ".tiles div{flex:1;min-width:9rem;padding:.8rem 1rem;border-radius:6px;background:#f2f5f9}"
    ".tiles b{display:block;font-size:1.5rem}.tiles span{color:#5b6675}"
    ".tiles.clean div:nth-last-child(2) b{color:#19733a}.tiles.found div:nth-last-child(2) b{color:#a3201a}"
    "svg{width:100%;font-size:12px}svg rect{fill:#a3201a}svg text{fill:#1c2430}svg .n{fill:#5b6675}"
    "details{margin:.3rem 0}summary{cursor:pointer;color:#5b6675}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:right;padding:.25rem .6rem;border-bottom:1px solid #e4e9f0}"
    "td:first-child,th:first-child{text-align:left}"
    "@media print{details>*{display:block}}"
)
