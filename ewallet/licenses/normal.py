"""Normal forms: when two ways of writing a value count as one, and under which rule.

The rules are few, named, and applied in the order of `RULES`; `docs/guides/printed-copies.md` explains each.
Nothing is dropped silently: a comparison that needed a rule says which.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final

from ewallet.licenses.license import LONG_TERM

if TYPE_CHECKING:
    from collections.abc import Callable

_FULL_WIDTH: Final = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_BRACKETS: Final = str.maketrans("〔［【〈《｛{[<〕］】〉》｝}]>", "(" * 9 + ")" * 9)
_SPACE: Final = re.compile(r"\s+")

_DIGITS: Final = {char: value for value, chars in enumerate(
    ("〇零○", "一壹", "二贰两弐", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
) for char in chars}  # fmt: skip
_UNITS: Final = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_ZEROS: Final[dict[str, int]] = {"万": 4, "亿": 8}
_LONGEST_AMOUNT: Final = 40
"""Signs of an amount: longer ones are no amounts, and would cost a conversion that grows with its square."""

_CHINESE_SIGNS: Final = frozenset((*_DIGITS, *_UNITS, "万", "亿"))
_NUMERAL: Final = "0-9,." + "".join((*_DIGITS, *_UNITS, *_ZEROS))
_AMOUNT: Final = re.compile(
    rf"(人民币|RMB|CNY|¥)?([{_NUMERAL}]+)(元|股|人|吨|年|平方米|M2|㎡)?(整|正)?", re.IGNORECASE
)

_DAY: Final = re.compile(
    r"(\d{4})(?:年|[-/.])(\d{1,2})(?:月|[-/.])(\d{1,2})日?|(\d{4})(\d{2})(\d{2})", re.ASCII
)
_CHINESE_DAY: Final = re.compile(
    rf"([{''.join(_DIGITS)}]{{4}})年([{''.join(_DIGITS)}十]{{1,3}})月([{''.join(_DIGITS)}十]{{1,3}})日"
)
_LONG_TERM: Final = frozenset(("长期", "长期有效", "无固定期限", "永久", "LONG-TERM", "long-term"))


def width(value: str) -> str:
    """Full-width letters, digits and signs as half-width: `ＡＢ（１）` is `AB(1)`."""
    return value.translate(_FULL_WIDTH)


def space(value: str) -> str:
    """All white space removed."""
    return _SPACE.sub("", value)


def brackets(value: str) -> str:
    """All kinds of brackets as round ones: `〔2026〕` is `(2026)`."""
    return value.translate(_BRACKETS)


def day(value: str) -> str:
    """A whole value that is a day, in ISO form; an end that never comes as `long-term`.

    >>> day("2026年11月3日"), day("2026/11/03"), day("20261103"), day("二〇二六年十一月三日"), day("长期")
    ('2026-11-03', '2026-11-03', '2026-11-03', '2026-11-03', 'long-term')
    """
    if value in _LONG_TERM:
        return LONG_TERM
    found = _DAY.fullmatch(value)
    if found is not None:
        parts = [int(part) for part in found.groups() if part is not None]
    else:
        chinese = _CHINESE_DAY.fullmatch(value)
        if chinese is None:
            return value
        parts = [int("".join(str(_DIGITS[char]) for char in chinese[1]))]
        parts += [int(number(part) or 0) for part in chinese.group(2, 3)]
    try:
        return date(*parts).isoformat()
    except ValueError:
        return value


def amount(value: str) -> str:
    """A whole value that is an amount, with its number in digits.

    Only a value that is an amount and nothing else: in a name, 三一 is not 31.

    >>> amount("人民币壹仟万元整"), amount("1,000万元"), amount("三一重工")
    ('10000000元', '10000000元', '三一重工')
    """
    found = _AMOUNT.fullmatch(value)
    counted = None if found is None else number(found[2])
    return value if found is None or counted is None else f"{counted}{found[3] or ''}"


def case(value: str) -> str:
    """Latin letters as capitals."""
    return "".join(char.upper() if char.isascii() else char for char in value)


RULES: Final[tuple[tuple[str, Callable[[str], str]], ...]] = (
    ("width", width),
    ("space", space),
    ("brackets", brackets),
    ("date", day),
    ("numerals", amount),
    ("case", case),
)
"""Name and function of each rule, in the order in which they are applied."""


def needed_rules(a: str, b: str) -> tuple[str, ...] | None:
    """Which rules make two values one; empty if they are equal as they are; None if no rules do.

    >>> needed_rules("（A）", "(a)")
    ('width', 'case')
    """
    used: list[str] = []
    for name, rule in RULES:
        if a == b:
            break
        changed_a, changed_b = rule(a), rule(b)
        if (changed_a, changed_b) != (a, b):
            used.append(name)
        a, b = changed_a, changed_b
    return tuple(used) if a == b else None


def number(text: str) -> int | str | None:
    """The number that digits and Chinese numerals write; text if it has a fraction; None if it is none."""
    text = text.replace(",", "")
    if len(text) > _LONGEST_AMOUNT:
        return None
    if re.fullmatch(r"\d+", text, re.ASCII):
        return int(text)
    plain = re.fullmatch(r"(\d+(?:\.\d+)?)([万亿]*)", text, re.ASCII)
    if plain is not None:
        return _decimal(plain[1], plain[2])
    if not set(text) <= _CHINESE_SIGNS:
        return None
    if text and all(char in _DIGITS for char in text):
        return int("".join(str(_DIGITS[char]) for char in text))
    return _chinese(text)


def _decimal(digits: str, groups: str) -> int | str:
    factor = int("1" + "0" * sum(_ZEROS[group] for group in groups))
    whole, _, fraction = digits.partition(".")
    scaled = int(whole + fraction) * factor
    unit = int("1" + "0" * len(fraction))
    if scaled % unit == 0:
        return scaled // unit
    return f"{scaled // unit}.{scaled % unit:0{len(fraction)}d}".rstrip("0")


def _chinese(text: str) -> int | None:
    for group, factor in (("亿", 10**8), ("万", 10**4)):
        if group in text:
            before, _, after = text.rpartition(group)
            head, tail = _chinese(before), _chinese(after) if after else 0
            return None if head is None or tail is None else head * factor + tail
    total = digit = 0
    for char in text:
        if char in _UNITS:
            total += (digit or 1) * _UNITS[char]
            digit = 0
        else:
            digit = _DIGITS[char]
    return total + digit if text else None
