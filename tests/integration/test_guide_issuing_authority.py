"""The guide for an issuing authority, block by block as it stands, in an empty directory."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "issuing-authority.md"


def test_the_guide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(python|console)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 12
    names = {}
    commands = 0
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, str(GUIDE), "exec"), names)
            continue
        for line in block.splitlines():
            command, _, expected = line.removeprefix("$ ewallet ").partition("  # exit ")
            done = subprocess.run(
                [sys.executable, "-m", "ewallet", *shlex.split(command)],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            assert done.returncode == int(expected or 0), done.stderr
            assert done.stdout
            commands += 1
    assert commands == 7
    assert (tmp_path / "public" / "sh.ewallet.example" / "status" / "market").is_dir()
