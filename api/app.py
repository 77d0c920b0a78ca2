"""The HTTP service: `create_app(settings)`."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.actions import ACTIONS, Action
from api.actions.dispatch import Means, answer, find_action, read_body, refusal
from api.auth.callers import Callers
from api.boot.routes import boot_routes
from api.domain.progress import RecentStatuses
from api.errors import Busy, Malformed, OverLimit
from api.jobs.queue import JobQueue
from api.metrics import CONTENT_TYPE, Metrics
from api.request_ids import RequestIds
from api.settings import Settings
from api.states import Role
from api.store.session import check, open_database
from api.tracing import Tracing
from api.trail import Threads, learn, trail

_THREADS = 16  # actions at work at the same time, each with its own database connection

logger = logging.getLogger("firstbox.api")


def create_app(settings: Settings) -> FastAPI:
    """The API over one database; nothing is opened before the app starts."""
    app = FastAPI(
        title="Firstbox",
        description=__doc__,
        version="0.1.0",
        lifespan=_lifespan(settings),
        redoc_url=None,
    )
    app.add_api_route("/api", _endpoint(settings, None), methods=["POST"], **_any_action())
    for action in ACTIONS.values():
        app.add_api_route(
            f"/api/{action.name}", _endpoint(settings, action.name), **_one_action(action)
        )
    app.add_api_route(
        "/api/public-key", _public_key, methods=["GET"], summary="The key for PASSWORD"
    )
    app.router.routes[:0] = boot_routes()  # first: a rack of machines asks at once
    app.add_exception_handler(HTTPException, _not_served)
    app.add_middleware(RequestIds)
    app.add_api_route("/healthz", _healthz, methods=["GET"], summary="The process is up")
    app.add_api_route("/readyz", _readyz, methods=["GET"], summary="Database and queue answer")
    app.add_api_route("/metrics", _metrics, methods=["GET"], summary="Figures, for Prometheus")
    return app


def _lifespan(settings: Settings) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = open_database(settings.database, pool_size=_THREADS)
        threads = Threads(_THREADS, thread_name_prefix="action")
        app.state.metrics = Metrics(settings, engine)
        app.state.tracing = Tracing(settings, "firstbox-api")
        app.state.means = Means(
            settings,
            engine,
            JobQueue(engine, settings),
            Callers(settings, engine),
            RecentStatuses(),
            threads,
        )
        try:
            yield
        finally:
            threads.shutdown()
            await run_in_threadpool(app.state.tracing.close)
            engine.dispose()

    return lifespan


def _endpoint(settings: Settings, name: str | None) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        began = time.perf_counter()
        with request.app.state.tracing.request(request.headers.get("traceparent")) as facts:
            asked, content, status = await _answer(request, settings, name)
            action = asked if asked in ACTIONS else ""
            facts |= {"name": action or "request", "firstbox.ret_code": content["ret_code"]}
            facts["firstbox.request_id"] = trail().request_id
            seconds = time.perf_counter() - began
            request.app.state.metrics.answered(action, content["ret_code"], seconds)
            learn(job_id=content.get("job_id") or "")
            _log(request, content, seconds)
        return _json(content, status)

    return endpoint


async def _answer(
    request: Request, settings: Settings, name: str | None
) -> tuple[str, dict[str, Any], int]:
    """The action that is asked for, as far as it can be told; the answer; and its HTTP status."""
    try:
        body = read_body(await _body(request, settings.max_body))
        asked = find_action(body, name)
    except OverLimit as error:
        return name or "", refusal(name or "", error), 413
    except Malformed as error:
        return name or "", refusal(name or "", error), 400
    means: Means = request.app.state.means
    address = request.client.host if request.client else ""
    authorization = request.headers.get("authorization")
    learn(action=asked if asked in ACTIONS else "")
    return asked, await answer(means, asked, body, authorization, address), 200


def _log(request: Request, content: dict[str, Any], seconds: float) -> None:
    """A line about a request, unless it only looked and was answered: those come by the thousand."""
    action = ACTIONS.get(content["action"].removesuffix("Response"))
    only_looked = action is not None and action.role == Role.VIEWER and not content["ret_code"]
    logger.log(
        logging.DEBUG if only_looked else logging.INFO,
        "%s from %s: %d %s(%.3f s)",
        action.name if action else "request",
        request.client.host if request.client else "?",
        content["ret_code"],
        f"{content['message']} " if content["ret_code"] else "",
        seconds,
    )


async def _body(request: Request, most: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise OverLimit(f"The request body is larger than {most} bytes.")
        chunks.append(chunk)
    return b"".join(chunks)


async def _public_key(request: Request) -> Response:
    """The server's public keys as a JWK set; PASSWORD is encrypted for one of them."""
    return _json(request.app.state.means.callers.public_jwks)


async def _healthz() -> dict[str, str]:
    """Answers as long as the process lives."""
    return {"status": "up"}


async def _readyz(request: Request) -> Response:
    """503 with a sentence while the database or the queue cannot be reached."""
    means: Means = request.app.state.means
    try:
        await run_in_threadpool(check, means.engine)
        await run_in_threadpool(means.queue.check)
    except Busy as error:
        return _json({"status": "not ready", "message": error.message}, 503)
    return _json({"status": "ready"})


async def _metrics(request: Request) -> Response:
    """Figures about requests, jobs, queues, machines and workers; nothing of any one machine."""
    text = await run_in_threadpool(request.app.state.metrics.show)
    return Response(text, media_type=CONTENT_TYPE)


async def _not_served(_request: Request, error: Exception) -> Response:
    """No such address, or not with this method: the same envelope as everywhere."""
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for no other
    message = f"{error.detail}: actions are asked for by POST to /api or /api/<Action>."
    response = _json(refusal("", Malformed(message)), error.status_code)
    response.headers.update(error.headers or {})
    return response


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _any_action() -> dict[str, Any]:
    return {
        "summary": "Any action, named by `action`",
        "response_model": None,
        "openapi_extra": {"requestBody": _request_body({"type": "object"})},
    }


def _one_action(action: Action) -> dict[str, Any]:
    return {
        "methods": ["POST"],
        "summary": (action.handler.__doc__ or "").strip(),
        "description": f"{action.request.__doc__}\n\nLeast role: {action.role}.",
        "response_model": None,
        "responses": {200: {"model": action.response, "description": action.response.__doc__}},
        "operation_id": action.name,
        "openapi_extra": {"requestBody": _request_body(_request_schema(action))},
    }


def _request_schema(action: Action) -> dict[str, Any]:
    """The request's schema in one piece: references into `$defs` lead nowhere in the document."""
    schema = action.request.model_json_schema(mode="validation")
    parts = schema.pop("$defs", {})

    def in_one_piece(value: Any) -> Any:
        if isinstance(value, list):
            return [in_one_piece(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return in_one_piece(parts[value["$ref"].rpartition("/")[2]])
        return {name: in_one_piece(item) for name, item in value.items()}

    whole: dict[str, Any] = in_one_piece(schema)
    return whole


def _request_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}
