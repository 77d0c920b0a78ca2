"""The table of metrics, and how what the database says becomes them: pure, nothing is asked here."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client.metrics_core import Metric

from api.states import BMC_REASONS, DEFAULT_ZONE, JobAction, WorkStatus
from api.store.observed import Observed
from api.store.tallies import BOUNDS, ENDLESS, Total

_BOUNDS = (*(f"{bound:g}" for bound in BOUNDS), ENDLESS)
Values = Iterable[tuple[tuple[str, ...], float]]


class Figure(NamedTuple):
    """One metric: the page of metrics is made of these."""

    name: str
    kind: str  # gauge, counter or histogram
    labels: tuple[str, ...]
    text: str


REQUESTS = Figure(
    "firstbox_request_seconds",
    "histogram",
    ("action", "ret_code"),
    "How long this process took to answer a request; `ret_code` is 0, or such as 2xxx.",
)
# What the database says is the same from every process that is asked.
DATABASE = Figure(
    "firstbox_database_up", "gauge", (), "1 if the database answered; without it, none of these."
)
NOW = (
    Figure("firstbox_jobs", "gauge", ("action", "status", "zone"), "Jobs that are not over."),
    Figure(
        "firstbox_slices",
        "gauge",
        ("zone", "state"),
        "Slices of jobs: `held` back until there is room, `queued`, or `running`.",
    ),
    Figure(
        "firstbox_queue_oldest_seconds",
        "gauge",
        ("zone",),
        "Age of the oldest job of which something waits, 0 where nothing does.",
    ),
    Figure("firstbox_workers", "gauge", ("zone",), "Workers that are alive and serve the zone."),
    Figure("firstbox_worker_slots", "gauge", ("zone",), "Slices that these can run at a time."),
    Figure("firstbox_nodes", "gauge", ("status",), "Nodes by status, those without address too."),
    Figure("firstbox_bm_nodes", "gauge", ("status",), "Machines with a registered BMC by status."),
    Figure("firstbox_boots", "gauge", ("state",), "Machines that boot over the network now."),
    Figure("firstbox_deliveries_waiting", "gauge", (), "Events on their way to webhooks."),
    Figure("firstbox_deliveries_oldest_seconds", "gauge", (), "Age of the oldest of these, or 0."),
)
EVER = (
    Figure(
        "firstbox_jobs_finished_total",
        "counter",
        ("action", "status", "zone"),
        "Jobs that ended, in each of their zones.",
    ),
    Figure(
        "firstbox_step_seconds",
        "histogram",
        ("action", "step"),
        "How long a step of a slice took, counted when the slice ends.",
    ),
    Figure(
        "firstbox_node_failures_total",
        "counter",
        ("action", "reason"),
        "Nodes that failed in a job.",
    ),
    Figure(
        "firstbox_bmc_errors_total",
        "counter",
        ("reason",),
        "BMCs that failed in a job, of nodes and of addresses that a scan asked.",
    ),
    Figure(
        "firstbox_runs_lost_total",
        "counter",
        ("action",),
        "Runs that died and were begun again: their worker fell silent, or they ended without a word.",
    ),
)
FIGURES = (REQUESTS, DATABASE, *NOW, *EVER)
# Shown as 0 from the start: Prometheus sees no increase in what was not there before.
_NONE_YET: dict[str, dict[tuple[str, ...], float]] = {
    "firstbox_bmc_errors_total": {(reason,): 0 for reason in sorted(BMC_REASONS)},
    "firstbox_runs_lost_total": {(action,): 0 for action in JobAction},
}


def metrics_of(observed: Observed | None) -> list[Metric]:
    """What is shown of a look into the database; None when it did not answer."""
    if observed is None:
        return [_metric(DATABASE, [((), 0)])]
    return [_metric(DATABASE, [((), 1)]), *_now(observed), *_ever(observed.totals)]


def _metric(figure: Figure, values: Values) -> Metric:
    metric = Metric(figure.name.removesuffix("_total"), figure.text, figure.kind)
    for labels, value in values:
        metric.add_sample(figure.name, dict(zip(figure.labels, labels, strict=True)), value)
    return metric


def _now(observed: Observed) -> Iterator[Metric]:
    zones = _zones(observed)
    values: dict[str, Values] = {
        "firstbox_jobs": [((r.action, r.status, r.zone_id), r.number) for r in observed.jobs],
        "firstbox_slices": _slices(observed).items(),
        "firstbox_queue_oldest_seconds": _oldest(observed, zones).items(),
        "firstbox_workers": [((zone,), len(_serving(observed, zone))) for zone in zones],
        "firstbox_worker_slots": [
            ((zone,), sum(row.concurrency for row in _serving(observed, zone))) for zone in zones
        ],
        "firstbox_nodes": _by_one(observed.nodes),
        "firstbox_bm_nodes": _by_one(observed.bm_nodes),
        "firstbox_boots": _by_one(observed.boots),
        "firstbox_deliveries_waiting": [((), observed.deliveries)],
        "firstbox_deliveries_oldest_seconds": [((), observed.now - observed.oldest_delivery)],
    }
    for figure in NOW:
        yield _metric(figure, values[figure.name])


def _zones(observed: Observed) -> list[str]:
    """Zones that somebody serves or waits in."""
    served = {zone for worker in observed.workers for zone in worker.zones}
    return sorted({DEFAULT_ZONE} | served | {row.zone_id for row in observed.slices})


def _serving(observed: Observed, zone: str) -> list[Any]:
    return [row for row in observed.workers if not row.zones or zone in row.zones]


def _slices(observed: Observed) -> Mapping[tuple[str, ...], float]:
    numbers: dict[tuple[str, ...], float] = defaultdict(float)
    for row in observed.slices:
        waiting = "held" if row.is_held else "queued"
        state = waiting if row.status == WorkStatus.WAITING else "running"
        numbers[row.zone_id, state] += row.number
    return numbers


def _oldest(observed: Observed, zones: Iterable[str]) -> Mapping[tuple[str, ...], float]:
    ages: dict[tuple[str, ...], float] = {(zone,): 0.0 for zone in zones}
    for row in observed.slices:
        if row.status == WorkStatus.WAITING:
            key = (row.zone_id,)
            ages[key] = max(ages[key], observed.now - row.oldest)
    return ages


def _by_one(numbers: Mapping[str, float]) -> Values:
    return [((name,), number) for name, number in sorted(numbers.items())]


def _ever(totals: Iterable[Total]) -> Iterator[Metric]:
    by_name: dict[str, list[Total]] = defaultdict(list)
    for total in totals:
        by_name[f"firstbox_{total.name}"].append(total)
    for figure in EVER:
        if figure.kind == "histogram":
            yield _histogram(figure, by_name[figure.name], by_name[f"{figure.name}_sum"])
        else:
            found = by_name[figure.name.removesuffix("_total")]
            values = {_values(figure, total): total.value for total in found}
            yield _metric(figure, (_NONE_YET.get(figure.name, {}) | values).items())


def _values(figure: Figure, total: Total) -> tuple[str, ...]:
    return tuple(total.labels.get(name, "") for name in figure.labels)


def _histogram(figure: Figure, counts: Iterable[Total], sums: Iterable[Total]) -> Metric:
    metric = Metric(figure.name, figure.text, "histogram")
    found: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for total in counts:
        found[_values(figure, total)][total.labels["le"]] = total.value
    for total in sums:
        values = _values(figure, total)
        labels = dict(zip(figure.labels, values, strict=True))
        number = 0.0
        for bound in _BOUNDS:
            number += found[values].get(bound, 0)
            metric.add_sample(f"{figure.name}_bucket", {**labels, "le": bound}, number)
        metric.add_sample(f"{figure.name}_count", labels, number)
        metric.add_sample(f"{figure.name}_sum", labels, total.value)
    return metric
