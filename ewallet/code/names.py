"""Masked names: enough for a person to recognize their own, too little to find them by."""

from __future__ import annotations

from typing import Final

_COMPOUND: Final = frozenset(
    (
        "欧阳",
        "上官",
        "司马",
        "诸葛",
        "东方",
        "皇甫",
        "尉迟",
        "公孙",
        "慕容",
        "令狐",
        "司徒",
        "夏侯",
        "宇文",
        "长孙",
        "轩辕",
        "端木",
        "南宫",
        "独孤",
        "西门",
        "闻人",
    )
)
"""Family names of two characters that stay whole."""


def mask_name(name: str) -> str:
    """Masks a name as codes show it.

    Chinese names keep the family name and, of three characters and more, the last one; names in Latin
    letters keep the first letter of each word.

    >>> mask_name("张三"), mask_name("李小明"), mask_name("欧阳小红"), mask_name("阿依古丽·买买提")
    ('张*', '李*明', '欧阳*红', '阿*****提')
    >>> mask_name("Jane Example"), mask_name("  O'Hara ")
    ('J*** E******', 'O*****')

    Raises:
        ValueError: no name.
    """
    given = " ".join(name.split())
    if not given:
        raise ValueError("no name")
    if given.isascii() or any("a" <= char.lower() <= "z" for char in given):
        return " ".join(word[0] + "*" * (len(word) - 1) for word in given.split(" "))
    plain = given.replace("·", "")
    keep = 2 if plain[:2] in _COMPOUND and len(plain) > 2 else 1
    rest = len(plain) - keep
    if rest <= 1:
        return plain[:keep] + "*" * rest
    return plain[:keep] + "*" * (rest - 1) + plain[-1]
