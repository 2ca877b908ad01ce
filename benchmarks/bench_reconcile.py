"""Reconciling a register against itself and against an agency's list, with planted faults.

The register is filled row by row with real seals over real faces; each run is a process of its own, so that
its memory can be read afterwards. Run: `python benchmarks/bench_reconcile.py [licenses]`.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import insert, update
from stdnum.cn import uscc
from stdnum.iso7064 import mod_37_36

from ewallet.formats.statuslist import StatusReference
from ewallet.keys import SigningKey
from ewallet.licenses import tables
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.license import face_digest
from ewallet.licenses.register import Register
from ewallet.licenses.seal import Role, Seal, critical_fields, make_seal

NOW = datetime(2026, 11, 23, 4, tzinfo=UTC)
AT = int(NOW.timestamp())
FAULTS = 500
SMALL, LARGE = 20_000, 1_000_000
CHUNK = 5_000
SHARD = 2**20
AREAS = ("310101", "310104", "310105", "310106", "310115", "310112")
ISS = "https://sh.ewallet.example/a/market"


def number(place: int) -> str:
    body = f"91310115MA{place:07d}"
    return body + uscc.calc_check_digit(body)


def face(place: int) -> dict[str, str]:
    return {
        "uscc": number(place),
        "name": f"上海测试{place}信息科技有限公司",
        "company_type": "有限责任公司",
        "legal_representative": "王喆",
        "registered_capital": "1000万元",
        "established_on": "2019-03-08",
        "valid_until": "long-term",
        "address": f"上海市浦东新区张江路{place}号",
        "scope": "食品销售；餐饮服务；技术服务、技术开发、技术咨询、技术交流、技术转让、技术推广。",
        "issued_on": "2026-11-23",
    }


def rows(span: tuple[int, int]) -> list[tuple[dict[str, Any], ...]]:
    """License, version, slots and copy of each place."""
    signer = SIGNER or SigningKey.generate("ES256")
    type_ = Catalog.builtin()["business-license"]
    made = []
    for place in range(*span):
        values = face(place)
        body = f"{type_.code}.11310115MB2F3069XM.{values['uscc']}.001"
        identifier = f"1.2.156.3005.2.{body}.{mod_37_36.calc_check_digit(body.replace('.', ''))}"
        salt, area, stock = os.urandom(16), AREAS[place % len(AREAS)], f"SH{place:08d}"
        digest = face_digest(tuple(values.items()), salt)
        seal = make_seal(
            Seal(
                iss=ISS, area=area, identifier=identifier, version=1, role=Role.ORIGINAL, number=1, of=1,
                stock=stock, salt=salt, face_digest=digest, fields=critical_fields(type_, values),
                issued_at=AT, expires=None,
                status=StatusReference(
                    idx=place % SHARD, uri=f"https://sh.ewallet.example/s/{place // SHARD}"
                ),
            ),
            signer,
        )  # fmt: skip
        shard = place // SHARD + 1
        made.append((
            {"id": place, "type_code": type_.code, "type_key": type_.key, "authority": ISS,
             "number": values["uscc"], "serial": values["uscc"], "holder": f"001:{values['uscc']}",
             "sole": f"{type_.code} 001:{values['uscc']}", "state": "valid", "version": 1, "revision": 1},
            {"license_id": place, "version": 1, "identifier": identifier, "replaces": None, "type_version": 1,
             "authority_name": "上海市浦东新区市场监督管理局", "area": area,
             "face": json.dumps(values, ensure_ascii=False, separators=(",", ":")), "rest": "{}",
             "holders": "[]", "images": None, "valid_from": "2019-03-08", "valid_until": None,
             "issued_on": "2026-11-23", "issued_at": AT, "salt": salt, "digest_name": "sha256",
             "face_digest": digest, "document": "x", "key_id": b"x", "shard": shard, "idx": place % SHARD},
            {"shard": shard, "idx": place % SHARD, "license_id": place, "version": 1, "kind": "p",
             "ref": place, "value": 0},
            {"id": place, "license_id": place, "version": 1, "role": 0, "number": 1, "of": 1, "stock": stock,
             "state": "handed-out", "seal": seal, "shard": shard, "idx": place % SHARD, "printed_at": AT,
             "printer": "P1"},
        ))  # fmt: skip
    return made


SIGNER: SigningKey | None = None


def fill(url: Path, licenses: int) -> None:
    """A register of so many licenses with one printed copy each."""
    spans = [(start, min(start + CHUNK, licenses + 1)) for start in range(1, licenses + 1, CHUNK)]
    targets = (tables.license_, tables.version, tables.slot, tables.copy)
    columns = [{column.name for column in table.columns} for table in targets]
    with (
        Register.open(url) as register,
        multiprocessing.get_context("spawn").Pool(os.cpu_count() or 1) as pool,
    ):
        for part in pool.imap_unordered(rows, spans):
            with register.writing() as connection:
                for place, table in enumerate(targets):
                    known = columns[place]
                    values = [{k: v for k, v in row[place].items() if k in known} for row in part]
                    connection.execute(insert(table), values)


def plant(url: Path, licenses: int, chosen: random.Random) -> set[tuple[str, str]]:
    """Faults of four kinds, each at a license of its own; gives (number, kind)."""
    places = chosen.sample(range(1, licenses + 1), FAULTS)
    planted = set()
    copy, version, slot = tables.copy, tables.version, tables.slot
    with Register.open(url) as register, register.writing() as connection:
        for turn, place in enumerate(places):
            if turn % 4 == 0:
                kind, change = (
                    "printed-late",
                    update(copy).where(copy.c.id == place).values(printed_at=AT + 86400),
                )
            elif turn % 4 == 1:
                kind, change = "status-entry", update(slot).where(slot.c.license_id == place).values(value=1)
            elif turn % 4 == 2:
                kind, change = "copy-differs", update(copy).where(copy.c.id == place).values(seal="EWSA")
            else:
                kind = "face-digest"
                change = update(version).where(version.c.license_id == place).values(face_digest=bytes(32))
            connection.execute(change)
            planted.add((number(place), kind))
    return planted


def write_list(path: Path, licenses: int, chosen: random.Random) -> set[tuple[str, str]]:
    """An agency's list with faults of four kinds."""
    places = chosen.sample(range(1, licenses + 1), FAULTS)
    kinds = {place: turn % 4 for turn, place in enumerate(places)}
    planted = set()
    with path.open("w", encoding="gb18030", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            ["统一社会信用代码", "名称", "法定代表人", "注册资本", "成立日期", "住所", "证照状态"]
        )
        for place in range(1, licenses + 1):
            values, kind = face(place), kinds.get(place, -1)
            if kind == 0:
                planted.add((values["uscc"], "missing-there"))
                continue
            name = values["name"] + ("改" if kind == 1 else "")
            state = "注销" if kind == 2 else "有效"
            writer.writerow(
                [values["uscc"], name, "王喆", "人民币壹仟万元整", "2019年3月8日", values["address"], state]
            )
            if kind == 1:
                planted.add((values["uscc"], "field-differs"))
            if kind == 2:
                planted.add((values["uscc"], "status-differs"))
            if kind == 3:
                unknown = number(9_000_000 - place)
                writer.writerow([unknown, "别处", "王喆", "", "", "", "有效"])
                planted.add((unknown, "missing-here"))
    return planted


def run(url: Path, out: Path, *options: str, processes: int) -> tuple[float, float, set[tuple[str, str]]]:
    """Seconds, peak memory (MB, of all processes together) and findings of one run."""
    command = [
        sys.executable, "-m", "ewallet", "reconcile", "--register", str(url), "--out", str(out), "--quiet",
        "--processes", str(processes), "--now", NOW.isoformat(), *options,
    ]  # fmt: skip
    began = time.perf_counter()
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as started:
        while started.poll() is None:
            peak = max(peak, resident(started.pid))
            time.sleep(0.05)
    took = time.perf_counter() - began
    lines = (out / "findings.jsonl").read_text(encoding="utf-8").splitlines()
    found = {(row["number"], row["kind"]) for row in map(json.loads, lines)}
    assert len(lines) == len(found), "a fault was found twice"
    return took, peak / 1024, found


def resident(pid: int) -> int:
    """Kilobytes that a process and its children hold now; shared pages are counted once (PSS)."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total = int(line.split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return 0
    return total + sum(resident(int(child)) for child in children)


def measured(licenses: int) -> list[dict[str, Any]]:
    """One register of so many licenses, all runs."""
    chosen = random.Random(20261123)
    with tempfile.TemporaryDirectory() as place:
        url, out, export = Path(place) / "register.db", Path(place) / "out", Path(place) / "list.csv"
        fill(url, licenses)
        drift = write_list(export, licenses, chosen)
        _, _, found = run(url, out, processes=1)
        assert not found, "a clean register is clean"
        planted = plant(url, licenses, chosen)
        results = []
        for name, options, expected in (
            ("itself", (), planted),
            ("a list", ("--export", str(export), "--type", "business-license"), drift),
        ):
            one, memory, found = run(url, out, *options, processes=1)
            assert found == expected, f"{name}: not exactly the planted faults"
            two, memory_two, found = run(url, out, *options, processes=2)
            assert found == expected, f"{name}: not exactly the planted faults with two processes"
            named = f"reconcile {licenses:,} against {name}"
            results += [
                {"operation": named, "value": one, "unit": "s", "target": 600 * licenses / LARGE + 5},
                {"operation": f"{named}: memory", "value": memory, "unit": "MB", "target": 300},
                {"operation": f"{named}: memory, two processes", "value": memory_two, "unit": "MB"},
                {
                    "operation": f"{named}: two processes", "ratio": one / two, "against": "one process",
                    **({"target": 1.6, "more_is_better": True} if licenses >= LARGE else {}),
                },
            ]  # fmt: skip
    return results


def measure(rounds: int = 1) -> list[dict[str, Any]]:
    del rounds
    return measured(SMALL)


def measure_large() -> list[dict[str, Any]]:
    return measured(LARGE)


if __name__ == "__main__":
    for row in measured(int(sys.argv[1]) if len(sys.argv) > 1 else SMALL):
        print(row)
