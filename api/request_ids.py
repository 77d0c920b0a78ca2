"""Gives every HTTP request an id, which its answer's header shows and each line of the log names."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.trail import following, request_id

HEADER = "X-Request-Id"


class RequestIds:
    """Middleware: takes the caller's `X-Request-Id` where it is well formed, else makes one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the answer back with the id in it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chosen = request_id(Headers(scope=scope).get(HEADER))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append(HEADER, chosen)
            await send(message)

        with following(request_id=chosen):
            await self._app(scope, receive, send_with_id)
