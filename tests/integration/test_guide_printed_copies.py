"""The guide on printed copies, run block by block as it stands."""

import json
import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from ewallet.cli import cli

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "printed-copies.md"


def commands(block):
    for line in block.splitlines():
        command, _, comment = line.partition("  # exit ")
        yield shlex.split(command)[1:], int(comment or 0)


def test_the_guide_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {}
    ran = []
    for language, block in re.findall(
        r"```(python|sh)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL
    ):
        ran.append(language)
        if language == "python":
            exec(compile(block, f"{GUIDE.name} block {len(ran)}", "exec"), given)
            continue
        for arguments, expected in commands(block):
            timed = arguments[0] in {"recall", "reconcile", "compare"} or arguments[1] in {
                "hand-out",
                "spoil",
            }
            clock = ["--now", "2026-11-23T04:00:00Z"] if timed else []
            result = CliRunner().invoke(cli, [*arguments, *clock], standalone_mode=False)
            assert result.exception is None, (arguments, result.exception)
            assert (result.return_value or 0) == expected, (arguments, result.output)
    assert ran.count("python") == 7
    assert ran.count("sh") == 4
    (finding,) = map(json.loads, (tmp_path / "report" / "findings.jsonl").read_text().splitlines())
    assert (finding["kind"], finding["field"]) == ("field-differs", "legal_representative")
    assert "<svg" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
