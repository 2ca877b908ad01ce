"""The guides on codes and gates, run block by block as they stand."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

from ewallet.code.rotating import show
from ewallet.reasons import Outcome
from tests.office import NOW, City, reason_of

GUIDES = Path(__file__).resolve().parent.parent.parent / "docs" / "guides"


def blocks(guide: str, language: str) -> list[str]:
    text = (GUIDES / guide).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(guide: str, given: dict) -> dict:
    for number, block in enumerate(blocks(guide, "python")):
        exec(compile(block, f"{guide} block {number + 1}", "exec"), given)
    return given


def test_the_guide_for_apps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    city = City(tmp_path / "city")
    asked = city.ask("hospital", ("masked_name",), now=NOW.replace(second=0))
    done = run("code-in-your-app.md", {"question": asked.text, "lists": city.trust})
    assert (tmp_path / "code.png").stat().st_size > 200
    assert done["text"].startswith("EWC")


def test_the_guide_for_gates(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    city = City(tmp_path / "city")
    (policy, line) = map(json.loads, blocks("gates.md", "json"))
    bundle = city.bundle(tmp_path / "bundle", policy)
    ((made, key),) = city.office.passes()
    text = show(made, key, audience=policy["venue"], now=NOW)

    class Client:
        """Stands for a Redis client: the guide needs a server for more."""

        def register_script(self, script: str) -> str:
            return script

        def hset(self, name: bytes, mapping: dict) -> None:
            assert name == b"{ewallet}:mark"
            assert mapping == {"founded": 0, "horizon": 0}

    given = {"bundle": bundle, "now": NOW + timedelta(seconds=1), "text": text, "client": Client()}
    done = run("gates.md", given)
    assert reason_of(done["found"]) == "ACCEPTED"
    assert done["found"].outcome is Outcome.ACCEPTED
    assert "open for person" in capsys.readouterr().out
    assert line["outcome"] == "ACCEPTED"
    narrowed = city.policy("library", venue=policy["venue"], window_past=policy["window_past"])
    assert narrowed.scene.window_past == 20
