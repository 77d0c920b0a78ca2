"""Every answer tells the id of its request, and the log of the service names it."""

import logging

import pytest

from tests.contract.conftest import Api


def test_answer_shows_the_id_that_the_caller_gave(refusing_api: Api) -> None:
    answer = refusing_api.http.get("/healthz", headers={"X-Request-Id": "mine-1"})

    assert answer.headers.get_list("X-Request-Id") == ["mine-1"]


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/boot/unknown/script.ipxe"])
def test_every_answer_shows_an_id_of_its_own(refusing_api: Api, path: str) -> None:
    first, second = (refusing_api.http.get(path).headers["X-Request-Id"] for _ in range(2))

    assert first != second


def test_id_that_could_forge_a_log_is_not_taken(refusing_api: Api) -> None:
    answer = refusing_api.http.get("/healthz", headers={"X-Request-Id": 'a","level":"'})

    assert answer.headers["X-Request-Id"].startswith("r-")


def test_refusal_is_logged_and_an_answered_look_is_not(
    refusing_api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "firstbox.api")

    refusing_api.call("DescribeNodes")
    refusing_api.call("CollectNodes", node_ids=["n-nowhere1"])

    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("CollectNodes from testclient: 2")
    assert "n-nowhere1" in line
