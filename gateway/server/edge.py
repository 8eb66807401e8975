"""Surrounds every request and answer: an id of the gateway's own, and paths without a slash at the end."""

import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["REQUEST_ID", "Edge"]

REQUEST_ID = "x-request-id"


class Edge:
    """Gives each request a fresh id, `request.state.request_id`, and puts it on the answer. A client's own id is not
    trusted: it would stand in the gateway's log. A slash at the end of a path is taken off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        scope["path"] = scope["path"].rstrip("/") or "/"
        name = REQUEST_ID.encode()

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if all(key.lower() != name for key, _ in headers):
                    message = {**message, "headers": [*headers, (name, request_id.encode())]}
            await send(message)

        await self._app(scope, receive, send_named)
