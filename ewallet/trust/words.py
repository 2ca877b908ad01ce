"""What a change of the repository does, in words: read before signing, and said by `diff`.

Sentences come in pairs (zh, en). They are made from the files themselves, never from what a proposer claims.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import EwalletError, Malformed
from ewallet.moments import instant
from ewallet.trust.entries import SERVICE_NAMES, Status
from ewallet.trust.image import BRAKE, GRANTS, RECOGNITION, SCENES, SUSPENSIONS
from ewallet.trust.lists import rewritten_history
from ewallet.trust.lote import from_document
from ewallet.trust.recognition import rule_digest
from ewallet.trust.times import time_text
from ewallet.trust.tuf_keys import owner_of
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuf.api.metadata import Root, Targets

    from ewallet.trust.lote import ListedEntity, ListedService, ProvinceList
    from ewallet.trust.repository import Repository

Words = tuple[str, str]
"""One sentence, zh and en."""

_STATUS: Final[dict[Status, Words]] = {
    Status.GRANTED: ("恢复", "is granted again"),
    Status.SUSPENDED: ("暂停", "is suspended"),
    Status.WITHDRAWN: ("撤销", "is withdrawn"),
}


def changes(before: Repository | None, after: Repository) -> list[Words]:
    """What the later state does that the earlier did not. `before` None: everything is new."""
    found: list[Words] = []
    old_root = before.signed("root") if before else None
    found += _root(old_root, after.signed("root"))
    old_targets = before.signed("targets") if before and "targets" in before.roles else None
    found += _delegations(old_targets, after.signed("targets"))
    for path in sorted(set(after.files) | set(before.files if before else ())):
        old = before.files.get(path) if before else None
        new = after.files.get(path)
        if old != new:
            found += _file(path, old, new)
    found += _renewals(before, after)
    return found


def _renewals(before: Repository | None, after: Repository) -> Iterator[Words]:
    for name in sorted(after.staged - {"snapshot", "timestamp"}):
        signed = after.signed(name)
        end = time_text(signed.expires)
        yield (f"{name} 第{signed.version}版，有效至 {end}", f"{name} version {signed.version}, until {end}")
    del before


# --- roles --------------------------------------------------------------------------------------------------


def _root(before: Root | None, after: Root) -> Iterator[Words]:
    for name in ("root", "targets", "snapshot", "timestamp"):
        old = before.roles[name] if before else None
        new = after.roles[name]
        gone = set(old.keyids) - set(new.keyids) if old else set()
        for keyid in new.keyids:
            if old is None or keyid not in old.keyids:
                owner = owner_of(after.keys[keyid])
                yield (
                    f"{name} 增加 {owner} 的密钥 {keyid[:16]}",
                    f"{name}: new key {keyid[:16]} of {owner}",
                )
        for keyid in sorted(gone):
            assert before is not None
            owner = owner_of(before.keys[keyid])
            yield (
                f"{name} 去除 {owner} 的密钥 {keyid[:16]}",
                f"{name}: key {keyid[:16]} of {owner} is removed",
            )
        if old is None or old.threshold != new.threshold:
            yield (
                f"{name} 需要 {new.threshold} 个签名（共 {len(new.keyids)} 把密钥）",
                f"{name} needs {new.threshold} of {len(new.keyids)} signatures",
            )


def _delegations(before: Targets | None, after: Targets) -> Iterator[Words]:
    old_roles = dict(before.delegations.roles or {}) if before and before.delegations else {}
    new_roles = dict(after.delegations.roles or {}) if after.delegations else {}
    for name, role in new_roles.items():
        old = old_roles.get(name)
        if old is None or (old.keyids, old.threshold, old.paths) != (role.keyids, role.threshold, role.paths):
            keys = "、".join(keyid[:16] for keyid in role.keyids)
            paths = " ".join(role.paths or ())
            yield (
                f"{name} 可以签 {paths}，{len(role.keyids)} 把密钥中需要 {role.threshold} 个签名：{keys}",
                f"{name} signs {paths} with {role.threshold} of {len(role.keyids)} keys: {keys}",
            )
    for name in old_roles.keys() - new_roles.keys():
        yield f"{name} 不再签任何文件", f"{name} signs nothing any more"


# --- files --------------------------------------------------------------------------------------------------


def _file(path: str, before: bytes | None, after: bytes | None) -> Iterator[Words]:
    if after is None:
        yield f"{path} 被移除", f"{path} is removed"
        return
    try:
        if path.endswith("/list.json"):
            yield from _list(from_document(before) if before else None, from_document(after))
        else:
            yield from _document(path, _read(before), _read(after))
    except EwalletError:
        # An operator must never sign what cannot be put into words.
        yield f"！{path} 无法读懂，不要签", f"! {path} CANNOT BE READ: DO NOT SIGN"


def _read(data: bytes | None) -> dict[str, Any]:
    document = {} if data is None else decode_json(data, limit=1 << 24)
    if not isinstance(document, dict):
        raise Malformed("not an object")
    return document


def _document(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Words]:
    if path == SCENES:
        yield from _keyed("场景", "scene", _by(before, "scenes", "id"), _by(after, "scenes", "id"))
    elif path == GRANTS:
        old, new = before.get("provinces", {}), after.get("provinces", {})
        yield from _keyed("授权上限：", "bounds of", old, new)
    elif path == RECOGNITION:
        yield from _keyed(
            "互认规则", "recognition rule", _by(before, "rules", "id"), _by(after, "rules", "id")
        )
        for rule in after.get("rules", ()):
            digest = rule_digest(rule)
            yield (
                f"规则 {rule.get('id')} 摘要 {digest[:16]}",
                f"rule {rule.get('id')} has digest {digest[:16]}",
            )
    elif path in (BRAKE, SUSPENSIONS):
        yield from _entries(before.get("entries", []), after.get("entries", []))
    elif path.endswith("/recognition.json"):
        old_set, new_set = set(before.get("approved", ())), set(after.get("approved", ()))
        for digest in sorted(new_set - old_set):
            yield f"{path[:2]} 认可规则 {digest[:16]}", f"{path[:2]} approves rule {digest[:16]}"
        for digest in sorted(old_set - new_set):
            yield (
                f"{path[:2]} 不再认可规则 {digest[:16]}",
                f"{path[:2]} no longer approves rule {digest[:16]}",
            )
    else:
        count = len(after.get("entries", after.get("passes", ())))
        yield f"{path} 现有 {count} 条", f"{path} now has {count} entries"


def _by(document: Mapping[str, Any], member: str, key: str) -> dict[str, Any]:
    return {row[key]: row for row in document.get(member, ())}


def _keyed(zh: str, en: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Words]:
    for key in sorted(before.keys() | after.keys()):
        if key not in before:
            yield f"新增{zh} {key}", f"new {en} {key}"
        elif key not in after:
            yield f"删除{zh} {key}", f"{en} {key} is removed"
        elif before[key] != after[key]:
            parts = sorted(
                name
                for name in before[key].keys() | after[key].keys()
                if before[key].get(name) != after[key].get(name)
            )
            yield f"{zh} {key} 改变：{'、'.join(parts)}", f"{en} {key} changes: {', '.join(parts)}"


def _entries(before: list[Any], after: list[Any]) -> Iterator[Words]:
    for row in after:
        if row not in before:
            target = " ".join(f"{key}={value}" for key, value in sorted(row["target"].items()))
            end = row.get("until") or "…"
            yield (
                f"刹停 {target}：{row['reason']}（{row['from']} 至 {end}）",
                f"stops {target}: {row['reason']} ({row['from']} to {end})",
            )
    for row in before:
        if row not in after:
            target = " ".join(f"{key}={value}" for key, value in sorted(row["target"].items()))
            yield f"解除 {target}", f"lifts {target}"


# --- a province's list --------------------------------------------------------------------------------------


def _list(before: ProvinceList | None, after: ProvinceList) -> Iterator[Words]:
    if before is not None:
        for problem in rewritten_history(before, after):
            yield f"！改写历史：{problem}", f"! REWRITES HISTORY: {problem}"
    for item in after.entities:
        old = before.entity(item.entity.uri) if before else None
        name = item.entity.names.get("zh", item.entity.uri)
        if old is None:
            yield f"新增机关 {name}（{item.entity.uri}）", f"new authority {item.entity.uri}"
        elif old.entity != item.entity:
            yield f"{name} 的名称、代码或状态地址改变", f"{item.entity.uri}: names, code or prefixes change"
        for service in item.services:
            yield from _service(item, old.service(service.service) if old else None, service)


def _service(item: ListedEntity, before: ListedService | None, after: ListedService) -> Iterator[Words]:
    zh, en = SERVICE_NAMES[after.service]
    name, uri = item.entity.names.get("zh", item.entity.uri), item.entity.uri
    old_keys = {key.key.kid: key.window for key in before.keys} if before else {}
    for key in after.keys:
        kid, window = key.key.kid, key.window
        text = kid.hex()
        if kid not in old_keys:
            start = time_text(window.start)
            yield (
                f"{name} 的“{zh}”启用密钥 {text}，自 {start}",
                f"{uri}: {en}: key {text} is valid from {start}",
            )
            continue
        old = old_keys[kid]
        if window.compromised_from is not None and window.compromised_from != old.compromised_from:
            since = time_text(window.compromised_from)
            yield (
                f"{name} 的“{zh}”密钥 {text} 自 {since} 起已泄露：此前签发的需要登记证明",
                f"{uri}: {en}: key {text} is COMPROMISED from {since}: what it signed before needs proof",
            )
        if window.until != old.until and window.until is not None:
            until = time_text(window.until)
            yield (f"{name} 的“{zh}”密钥 {text} 止于 {until}", f"{uri}: {en}: key {text} ends at {until}")
    seen = len(before.states) if before else 1
    for state in after.states[seen:]:
        word_zh, word_en = _STATUS[state.status]
        at = time_text(instant(state.effective))
        yield f"{name} 的“{zh}”自 {at} {word_zh}", f"{uri}: {en} {word_en} from {at}"
    if before is None or before.grants != after.grants:
        for grant in after.grants:
            what = f"types {sorted(grant.types)} regions {sorted(grant.regions)}"
            yield f"{name} 的“{zh}”获准：{what}", f"{uri}: {en} may: {what}"
