"""`GET /metrics`, as Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families

from tests.contract.conftest import Api


def metrics(api: Api) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample name -> values of its labels -> value."""
    answer = api.http.get("/metrics")
    assert answer.status_code == 200
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation.endswith(".")
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_requests_are_counted_by_action_and_kind_of_answer(api: Api) -> None:
    api.call("DescribeNodes")
    api.call("DescribeNodes")
    api.call("CollectNodes", node_ids=["n-nowhere1"])
    api.call("MakeCoffee")
    api.send(b"no json")

    counts = metrics(api)["firstbox_request_seconds_count"]
    assert counts == {
        ("DescribeNodes", "0"): 2,
        ("CollectNodes", "2xxx"): 1,
        ("", "1xxx"): 2,
    }
