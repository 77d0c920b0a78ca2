"""Spans as a collector gets them."""

import subprocess
import sys
import time

import pytest

from api.errors import FirstboxError
from api.settings import Settings
from api.tracing import Tracing, parent_of
from api.trail import trail
from tests.otlp import Collector, collecting

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID, CALLERS_SPAN = CALLER.split("-")[1:3]


def test_a_request_goes_on_with_its_callers_trace(tracing: Tracing, collector: Collector) -> None:
    with tracing.request(CALLER) as facts:
        inside = trail().trace
        facts |= {"name": "GetStatus", "firstbox.ret_code": 0}
    tracing.close()

    span = collector.named("GetStatus")
    assert (span.service, span.trace_id, span.parent_id) == ("tested", TRACE_ID, CALLERS_SPAN)
    assert span.facts == {"firstbox.ret_code": 0}
    assert inside == f"00-{TRACE_ID}-{span.span_id}-01"
    assert trail().trace == ""


@pytest.mark.parametrize("parent", [None, "", "rubbish", CALLER.replace("0af7", "xxxx")])
def test_other_requests_begin_a_trace(
    tracing: Tracing, collector: Collector, parent: str | None
) -> None:
    with tracing.request(parent) as facts:
        facts["name"] = "GetStatus"
    tracing.close()

    span = collector.named("GetStatus")
    assert span.parent_id == ""
    assert span.trace_id != TRACE_ID


def test_a_child_may_be_sent_before_its_parent(tracing: Tracing, collector: Collector) -> None:
    tracing.record("run", begin=11, end=12, parent=parent_of(CALLER, "j-1"), error="timeout")
    tracing.record("job", begin=10, end=14.5, parent=CALLER, key="j-1", facts={"zone": "z1"})
    tracing.close()

    run, job = collector.named("run"), collector.named("job")
    assert (run.trace_id, run.parent_id) == (TRACE_ID, job.span_id)
    assert (job.trace_id, job.parent_id) == (TRACE_ID, CALLERS_SPAN)
    assert (run.seconds, run.error) == (1, "timeout")
    assert (job.seconds, job.error, job.facts) == (4.5, "", {"zone": "z1"})


def test_what_belongs_to_no_trace_is_not_recorded(tracing: Tracing, collector: Collector) -> None:
    assert tracing.record("run", begin=1, end=2, parent=parent_of("", "j-1")) == ""
    not_sampled = CALLER.removesuffix("01") + "00"
    tracing.record("run", begin=1, end=2, parent=not_sampled)
    tracing.close()

    assert collector.spans == []


def test_a_collector_that_is_away_holds_nobody_up(settings: Settings) -> None:
    with collecting() as gone:
        pass
    tracing = Tracing(settings.model_copy(update={"otlp_endpoint": gone.url}), "tested")

    began = time.monotonic()
    with tracing.request(None):
        pass
    assert time.monotonic() - began < 1
    tracing.close()
    assert time.monotonic() - began < 8


def test_an_endpoint_without_the_extra_is_refused_in_a_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(FirstboxError, match=r"install the extra `otel`"):
        Tracing(settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:1"}), "tested")


def test_without_an_endpoint_nothing_is_imported_and_nothing_traced() -> None:
    text = """
import sys
from api.settings import Settings
from api.tracing import Tracing
from api.trail import trail
tracing = Tracing(Settings(otlp_endpoint=""), "tested")
with tracing.request(None):
    assert trail().trace == ""
tracing.record("job", begin=1, end=2, parent="00-1-2-01")
tracing.close()
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", text], check=True, timeout=60)
