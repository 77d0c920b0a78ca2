"""The HTTP service: `create_app(settings)`."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
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
from api.settings import Settings
from api.store.session import check, open_database

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
    app.add_api_route("/healthz", _healthz, methods=["GET"], summary="The process is up")
    app.add_api_route("/readyz", _readyz, methods=["GET"], summary="Database and queue answer")
    return app


def _lifespan(settings: Settings) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = open_database(settings.database, pool_size=_THREADS)
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="action")
        app.state.means = Means(
            settings,
            engine,
            JobQueue(engine),
            Callers(settings, engine),
            RecentStatuses(),
            threads,
        )
        try:
            yield
        finally:
            threads.shutdown()
            engine.dispose()

    return lifespan


def _endpoint(settings: Settings, name: str | None) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            body = read_body(await _body(request, settings.max_body))
            asked = find_action(body, name)
        except OverLimit as error:
            return _json(refusal(name or "", error), 413)
        except Malformed as error:
            return _json(refusal(name or "", error), 400)
        means: Means = request.app.state.means
        address = request.client.host if request.client else ""
        authorization = request.headers.get("authorization")
        return _json(await answer(means, asked, body, authorization, address))

    return endpoint


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
