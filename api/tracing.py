"""Traces of requests and jobs, for those who collect them (OpenTelemetry, OTLP over HTTP).

A request is the root; the job it made is its child, with a child for each run of a slice, and in
that a child for each step. Requests are traced by the API, jobs by workers, when they end; they meet
in `job.trace`, and in ids that are made of names, so that a child may be sent before its parent.
OpenTelemetry is imported only where `FIRSTBOX_OTLP_ENDPOINT` is set.
"""

import hashlib
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from api.errors import FirstboxError
from api.settings import Settings
from api.trail import following

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

_DEADLINE = 3.0  # seconds the collector has to take a batch
_LAST_WORDS = 5.0  # and, when we stop, to take the rest
Facts = Mapping[str, str | int | float]


class Tracing:
    """Where spans go; without an endpoint in the settings, nowhere."""

    def __init__(self, settings: Settings, service: str) -> None:
        """`service` is what the collector shows as `service.name`.

        Raises FirstboxError when the extra `otel` is not installed and an endpoint is set.
        """
        self._exporting: _Exporting | None = None
        if settings.otlp_endpoint:
            self._exporting = _Exporting(settings.otlp_endpoint, service)

    @contextmanager
    def request(self, parent: str | None) -> Iterator[dict[str, str | int | float]]:
        """A span of the request at hand; `parent` is its header `traceparent`.

        What is put into the dictionary becomes the span's facts, `name` its name.
        """
        facts: dict[str, str | int | float] = {}
        if self._exporting is None:
            yield facts
            return
        from opentelemetry.trace import SpanKind

        span = self._exporting.tracer.start_span(
            "request", _context(parent or ""), kind=SpanKind.SERVER
        )
        try:
            with following(trace=_traceparent(span)):
                yield facts
        finally:
            span.update_name(str(facts.pop("name", "request")))
            span.set_attributes(facts)
            span.end()

    def record(
        self,
        name: str,
        *,
        begin: float,
        end: float,
        parent: str,
        key: str = "",
        facts: Facts | None = None,
        error: str = "",
    ) -> str:
        """A span of what is over (seconds since 1970), and the parent for its children.

        Of what has a `key`, the span's id is known to everybody: see `parent_of`. Nothing is
        recorded of what belongs to no trace.
        """
        if self._exporting is None or not parent:
            return ""
        return self._exporting.record(name, begin, end, parent, key, facts or {}, error)

    def close(self) -> None:
        """Send what is left, if the collector takes it in some seconds."""
        if self._exporting is not None:
            thread = threading.Thread(target=self._exporting.provider.shutdown, daemon=True)
            thread.start()
            thread.join(_LAST_WORDS)


def parent_of(trace: str, key: str) -> str:
    """The parent for children of what was, or will be, recorded with this key in the same trace."""
    if not trace:
        return ""
    version, trace_id, _span_id, flags = trace.split("-")
    return f"{version}-{trace_id}-{_id(key):016x}-{flags}"


def _id(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])


class _Exporting:
    """OpenTelemetry's own parts: made by us, and known to nobody else in this process."""

    def __init__(self, endpoint: str, service: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        except ImportError as error:
            raise FirstboxError(
                "FIRSTBOX_OTLP_ENDPOINT is set, but what sends traces is not installed: "
                "install the extra `otel`, as in `pip install firstbox[otel]`."
            ) from error

        self._next = threading.local()
        next_id = self._next

        class Ids(RandomIdGenerator):
            """Random ids, but where one is asked for by its key."""

            def generate_span_id(self) -> int:
                chosen: int | None = getattr(next_id, "span", None)
                return super().generate_span_id() if chosen is None else chosen

        resource = Resource.create(
            {
                "service.name": service,
                "service.instance.id": f"{socket.gethostname()}.{os.getpid()}",
            }
        )
        self.provider = TracerProvider(
            resource=resource, id_generator=Ids(), shutdown_on_exit=False
        )
        url = f"{endpoint.rstrip('/').removesuffix('/v1/traces')}/v1/traces"
        exporter = OTLPSpanExporter(endpoint=url, timeout=_DEADLINE)
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer: Tracer = self.provider.get_tracer("firstbox")

    def record(
        self,
        name: str,
        begin: float,
        end: float,
        parent: str,
        key: str,
        facts: Facts,
        error: str,
    ) -> str:
        """See `Tracing.record`."""
        from opentelemetry.trace import Status, StatusCode

        self._next.span = _id(key) if key else None
        try:
            span = self.tracer.start_span(
                name, _context(parent), attributes=dict(facts), start_time=_nanoseconds(begin)
            )
        finally:
            self._next.span = None
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(_nanoseconds(max(begin, end)))
        return _traceparent(span)


def _context(parent: str) -> "Context":
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent}, Context())


def _traceparent(span: "Span") -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
