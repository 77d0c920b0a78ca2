"""After a cancelled installation or inspection: the machines it had booted are switched off."""

from sqlalchemy import Engine

from api.bmc.fleet import ask_bmcs
from api.bmc.operations import Operation, boot_from_disk, power_off
from api.bmc.target import BmcResult, BmcTarget
from api.settings import Settings
from api.states import ADVICE, JobAction, Reason, WorkStatus
from api.store import runs
from api.store.bmcs import bmc_targets, record_answers
from api.store.boots import boots_of_nodes, say, set_local
from api.store.installations import with_systems
from api.store.session import reading, writing

_PATIENCE = 30.0  # seconds a machine has to be off


def stand_down(engine: Engine, settings: Settings, run: runs.Run) -> None:
    """Switch off what a cancelled job leaves half installed; nothing if it was not cancelled.

    A machine that the job only looked at is left as it is, and so is one that it finished. One whose
    operating system an inspection interrupted boots from its disk again.
    """
    with reading(engine) as connection:
        job = runs.get_slice(connection, run.job_id, run.slice_index)
        rows = runs.get_slice_nodes(connection, run.job_id, run.slice_index)
    if job is None or not job.cancel:
        return
    unfinished = [row.node_id for row in rows if row.status != WorkStatus.SUCCESSFUL]
    with writing(engine) as connection:
        runs.lock_run(connection, run)
        active = boots_of_nodes(connection, unfinished)
        boots = {node: boot for node, boot in active.items() if boot.job_id == run.job_id}
        set_local(connection, list(boots), _PATIENCE + 60)
        targets = bmc_targets(connection, settings, list(boots))
        inspected = list(boots) if job.action == JobAction.INSPECT_BM_NODES else []
        systems = with_systems(connection, inspected)
    off = [target for node, target in targets.items() if node not in systems]
    on = [target for node, target in targets.items() if node in systems]
    answers = _order(settings, off, power_off(_PATIENCE))
    answers += _order(settings, on, boot_from_disk(_PATIENCE))
    with writing(engine) as connection:
        record_answers(connection, answers)
        for answer in answers:
            what = f"BMC: {answer.message}, because the job was cancelled"
            if not answer.ok:
                wanted = "booted from its disk" if answer.node in systems else "switched off"
                what = f"is not {wanted}: {answer.message}. {ADVICE[Reason(answer.reason)]}"
            say(connection, boots[answer.node], what, is_failure=not answer.ok)


def _order(settings: Settings, targets: list[BmcTarget], operation: Operation) -> list[BmcResult]:
    return ask_bmcs(targets, operation, **settings.bmc_limits)
