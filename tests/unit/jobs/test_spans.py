"""What a trace shows of a job, once its runs are over."""

from sqlalchemy import Engine, update

from api.domain.ending import end
from api.jobs.spans import record_run
from api.states import JobAction, NodeStatus, Reason, WorkStatus
from api.store import runs
from api.store.jobs import JOB_STEP, Part, create_job
from api.store.nodes import add_nodes
from api.store.session import reading, writing
from api.tracing import Tracing
from api.trail import following
from tests.otlp import Collector

REQUEST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def begin(engine: Engine, slices: int, trace: str = REQUEST) -> list[runs.Run]:
    """A job of slices with a node each, all of them claimed; their runs."""
    with writing(engine) as connection, following(trace=trace, request_id="r-1"):
        node_ids = add_nodes(connection, [f"127.0.0.{n + 1}" for n in range(slices)], "default")
        parts = [Part("default", {node_id: NodeStatus.PENDING}) for node_id in node_ids]
        job_id = create_job(connection, JobAction.GET_BM_NODES_POWER, parts, user_id="ada")
        of_job = [runs.Run(job_id, 1, "w", index) for index in range(slices)]
        for run in of_job:
            runs.claim(connection, run, 30)
    return of_job


def finish(engine: Engine, run: runs.Run, reason: Reason | None = None) -> None:
    with writing(engine) as connection:
        is_first = (JOB_STEP.c.slice_index == run.slice_index) & (JOB_STEP.c.step_index == 0)
        over = {"status": WorkStatus.SUCCESSFUL, "start_time": 100.0, "finish_time": 103.0}
        connection.execute(update(JOB_STEP).where(is_first).values(**over))
        part = runs.lock_run(connection, run)
        end(connection, part, reason, "why" if reason else "", runs.Changes())


def record(tracing: Tracing, engine: Engine, run: runs.Run) -> None:
    with reading(engine) as connection:
        record_run(tracing, connection, run, began=100.0)


def test_request_job_run_and_step_are_one_line_of_descent(
    engine: Engine, tracing: Tracing, collector: Collector
) -> None:
    (run,) = begin(engine, 1)
    finish(engine, run, Reason.TIMEOUT)
    record(tracing, engine, run)
    tracing.close()

    job, ran = collector.named("job GetBMNodesPower"), collector.named("run GetBMNodesPower")
    step = collector.named("bmc_power")
    assert job.parent_id == REQUEST.split("-")[2]
    assert (ran.parent_id, step.parent_id) == (job.span_id, ran.span_id)
    assert {job.trace_id, ran.trace_id, step.trace_id} == {REQUEST.split("-")[1]}
    assert (job.error, ran.error, step.error) == ("timeout", "timeout", "")
    assert step.seconds == 3
    assert job.facts["firstbox.user"] == "ada"
    assert job.facts["firstbox.request_id"] == "r-1"
    assert ran.facts["firstbox.worker"] == "w"


def test_a_job_is_recorded_once_with_the_slice_that_ended_last(
    engine: Engine, tracing: Tracing, collector: Collector
) -> None:
    first, second = begin(engine, 2)
    finish(engine, second)
    record(tracing, engine, second)
    finish(engine, first)
    record(tracing, engine, first)
    record(tracing, engine, second)  # late: the job is over by now
    tracing.close()

    assert len([span for span in collector.spans if span.name.startswith("job")]) == 1
    assert len([span for span in collector.spans if span.name.startswith("run")]) == 3


def test_a_run_that_died_is_recorded_without_steps(
    engine: Engine, tracing: Tracing, collector: Collector
) -> None:
    (run,) = begin(engine, 1)
    with writing(engine) as connection:
        runs.start_over(connection, runs.lock_run(connection, run))
    record(tracing, engine, run)
    tracing.close()

    (ran,) = collector.spans
    assert (ran.name, ran.error) == ("run GetBMNodesPower", "begun again")


def test_a_job_of_no_trace_is_not_recorded(
    engine: Engine, tracing: Tracing, collector: Collector
) -> None:
    (run,) = begin(engine, 1, trace="")
    finish(engine, run)
    record(tracing, engine, run)
    tracing.close()

    assert collector.spans == []
