"""Whatever is sent to any call of `/openapi.json`, the service answers without an error of its own."""

from __future__ import annotations

import json

import pytest

from tests.services import Land

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")
schemathesis = pytest.importorskip("schemathesis", reason="notice: schemathesis is not installed")

KEYLESS = ("/healthz", "/v1/state")


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    made = Land(tmp_path_factory.mktemp("land"))
    made.issue("31", 1)
    made.publish_status()
    yield made
    made.close()


@pytest.fixture(scope="module")
def service(land):
    return land.serve("31", "--ratings", str(land.directory / "ratings.sqlite"), "--quiet")


def test_every_call_is_described_with_an_example(service):
    schema = service.call("GET", "/openapi.json").json
    assert len(schema["paths"]) > 25
    for path, methods in schema["paths"].items():
        for method, described in methods.items():
            assert described["summary"], path
            body = described.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                assert body["example"], path
            good = [answer for code, answer in described["responses"].items() if code.startswith("2")]
            assert good, (method, path)
            for answer in good:
                for kind, content in answer.get("content", {}).items():
                    assert kind != "application/json" or "example" in content, path


def test_nothing_that_is_sent_makes_an_error(land, service):
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable

    document = service.call("GET", "/openapi.json").json
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=service.url)
    roles = {"31/agency", "31/window"}
    seen: set[str] = set()

    def answered(operation, mode) -> None:
        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=5,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def run(case) -> None:
            for role in sorted(roles):
                response = case.call(headers={"Authorization": f"Bearer {land.keys[role]}"})
                wrong = response.status_code >= 500 and response.status_code != 503
                assert not wrong, (operation.label, response.status_code, response.content[:200])
                if response.status_code >= 400 and "json" in response.headers["content-type"][0]:
                    assert isinstance(json.loads(response.content), dict)

        try:
            run()
        except Unsatisfiable:
            return  # nothing about this call can be sent wrongly
        seen.add(f"{mode} {operation.label}")

    for found in schema.get_all_operations():
        for mode in schemathesis.GenerationMode:
            answered(found.ok(), mode)
    assert len(seen) > 50
    assert "bug" not in service.log.read_text()
