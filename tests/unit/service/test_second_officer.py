"""The mark of a partner whose own system has a second officer confirm: given on purpose, never by chance."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ewallet.cli import cli
from ewallet.errors import ConfigError

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

from ewallet.service.doors import Role, add_partner, load_partners


def run(*arguments: str):
    return CliRunner().invoke(cli, ["partner", *arguments])


def test_nobody_attests_who_was_not_marked(tmp_path):
    file = tmp_path / "partners.json"
    add_partner(file, name="plain", roles=[Role.ISSUER])
    assert run("add", "marked", "--file", str(file), "--role", "issuer", "--attests-second-officer").output
    found = {each.name: each.attests_second_officer for each in load_partners(file)}
    assert found == {"plain": False, "marked": True}
    listed = run("list", "--file", str(file)).output.splitlines()
    assert [("attests-second-officer" in line) for line in listed] == [True, False]


def test_a_file_from_before_has_nobody_marked(tmp_path):
    file = tmp_path / "partners.json"
    add_partner(file, name="plain", roles=[Role.ISSUER])
    whole = json.loads(file.read_text())
    del whole["partners"][0]["attests_second_officer"]
    file.write_text(json.dumps(whole))
    assert not load_partners(file)[0].attests_second_officer


@pytest.mark.parametrize("mark", ["false", "true", 1, None, []])
def test_the_mark_is_true_or_false(tmp_path, mark):
    file = tmp_path / "partners.json"
    add_partner(file, name="plain", roles=[Role.ISSUER])
    whole = json.loads(file.read_text())
    whole["partners"][0]["attests_second_officer"] = mark
    file.write_text(json.dumps(whole))
    with pytest.raises(ConfigError):
        load_partners(file)


def test_only_an_issuer_is_marked(tmp_path):
    file = tmp_path / "partners.json"
    with pytest.raises(ValueError, match="issuer"):
        add_partner(file, name="hall", roles=[Role.VERIFIER], attests_second_officer=True)
    assert run("add", "hall", "--file", str(file), "--role", "verifier", "--attests-second-officer").exit_code
    assert not file.exists()
