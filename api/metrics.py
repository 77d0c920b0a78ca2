"""What `GET /metrics` shows: this process's requests, and what the database says of all processes."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one app."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Histogram(
            "firstbox_request_seconds",
            "How long this process took to answer a request, from its first byte.",
            ("action", "ret_code"),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def answered(self, action: str, ret_code: int, seconds: float) -> None:
        """Count a request; `action` is one of ours, or "" for what is none."""
        code = f"{ret_code // 1000}xxx" if ret_code else "0"
        self._requests.labels(action, code).observe(seconds)

    def show(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
