"""`GET /metrics`: this process's requests, and what the database says of all processes."""

import threading
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from api.errors import Busy
from api.figures import REQUESTS, metrics_of
from api.settings import Settings
from api.store.observed import observe
from api.store.session import reading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_YOUNG = 5.0  # seconds for which what the database said is shown again


class Metrics:
    """The metrics of one app."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Histogram(
            REQUESTS.name, REQUESTS.text, REQUESTS.labels, buckets=_SECONDS, registry=self._registry
        )
        self._registry.register(_Database(engine, settings.lease))

    def answered(self, action: str, ret_code: int, seconds: float) -> None:
        """Count a request; `action` is one of ours, or "" for what is none."""
        code = f"{ret_code // 1000}xxx" if ret_code else "0"
        self._requests.labels(action, code).observe(seconds)

    def show(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)


class _Database(Collector):
    """What the database says; asked at most once in some seconds, however many want to know."""

    def __init__(self, engine: Engine, lease: float) -> None:
        self._engine = engine
        self._lease = lease
        self._one_at_a_time = threading.Lock()
        self._until = 0.0
        self._seen: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        """Nothing is looked up at the registration."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All metrics, or only the one that says that the database is away."""
        with self._one_at_a_time:
            if time.monotonic() > self._until:
                self._seen = self._look()
                self._until = time.monotonic() + _YOUNG
            return self._seen

    def _look(self) -> list[Metric]:
        try:
            with reading(self._engine) as connection:
                observed = observe(connection, self._lease)
        except Busy:
            return metrics_of(None)
        return metrics_of(observed)
