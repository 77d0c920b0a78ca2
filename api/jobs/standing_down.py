"""After a cancelled installation: the machines it had begun with are switched off."""

from sqlalchemy import Engine

from api.bmc.fleet import ask_bmcs
from api.bmc.operations import power_off
from api.settings import Settings
from api.states import ADVICE, Reason, WorkStatus
from api.store import jobs
from api.store.bmcs import bmc_targets, record_answers
from api.store.boots import boots_of_nodes, say, set_local
from api.store.session import reading, writing

_PATIENCE = 30.0  # seconds a machine has to be off


def stand_down(engine: Engine, settings: Settings, run: jobs.Run) -> None:
    """Switch off what a cancelled job leaves half installed; nothing if it was not cancelled.

    A machine that the job only looked at is left as it is, and so is one that it finished.
    """
    with reading(engine) as connection:
        job = jobs.get_job(connection, run.job_id)
        rows = jobs.get_job_nodes(connection, run.job_id)
    if job is None or not job.cancel:
        return
    unfinished = [row.node_id for row in rows if row.status != WorkStatus.SUCCESSFUL]
    with writing(engine) as connection:
        jobs.lock_run(connection, run)
        boots = boots_of_nodes(connection, unfinished)
        set_local(connection, list(boots), _PATIENCE + 60)
        targets = bmc_targets(connection, settings, list(boots))
    answers = ask_bmcs(list(targets.values()), power_off(_PATIENCE), **settings.bmc_limits)
    with writing(engine) as connection:
        record_answers(connection, answers)
        for answer in answers:
            what = f"BMC: {answer.message}, because the job was cancelled"
            if not answer.ok:
                what = f"is not switched off: {answer.message}. {ADVICE[Reason(answer.reason)]}"
            say(connection, boots[answer.node], what, is_failure=not answer.ok)
