"""A job in slices: each has nodes of one zone, and no more of them than one worker is to have."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from api.domain.queueing import Limits
from api.states import DEFAULT_ZONE, JobAction
from api.store.jobs import Part


def cut(
    action: JobAction,
    statuses: Mapping[str, str],
    zones: Mapping[str, str],
    options: Mapping[str, Any],
    limits: Limits,
) -> list[Part]:
    """The parts of a job: its nodes (id -> status now) by zone, each zone's in their order.

    Zones take turns: a limit for all of them together is to leave no zone's workers without work.
    """
    if not statuses:  # all that it works on is in its options
        return [Part(options.get("zone_id") or DEFAULT_ZONE, {})]
    most = _most_nodes(action, options, limits)
    by_zone: dict[str, dict[str, str]] = {}
    for node_id, status in statuses.items():
        by_zone.setdefault(zones[node_id], {})[node_id] = status
    of_zones = [
        [Part(zone_id, piece) for piece in _pieces(nodes, most)]
        for zone_id, nodes in sorted(by_zone.items())
    ]
    return [part for turn in zip_longest(*of_zones) for part in turn if part is not None]


def whole(statuses: Mapping[str, str], zones: Mapping[str, str]) -> list[Part]:
    """A job in one piece, whatever its zones: somebody runs it in a shell."""
    return [Part(",".join(sorted(set(zones.values()))) or DEFAULT_ZONE, statuses)]


def _most_nodes(action: JobAction, options: Mapping[str, Any], limits: Limits) -> int:
    most = min(limits.slice_nodes, options.get("at_once") or limits.slice_nodes)
    if action == JobAction.PROVISION_BM_NODES:
        return min(most, limits.provision_at_once)
    return most


def _pieces(nodes: dict[str, str], most: int) -> Iterator[dict[str, str]]:
    ids = list(nodes)
    for start in range(0, len(ids), most):
        yield {node_id: nodes[node_id] for node_id in ids[start : start + most]}
