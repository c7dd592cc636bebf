"""MLflow's page as it is opened first: without its assistant, which otherwise comes by itself and hides a third of it.

MLflow 3.17 has no setting for this; its page asks the browser whether the assistant has come before. The button that
opens it stays.
"""

from deployments.servers.guard import Application, Message, Receive, Send

HAS_COME = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"
SCRIPT = f"<script>localStorage.getItem('{HAS_COME}') || localStorage.setItem('{HAS_COME}', 'true')</script>".encode()
HEAD = b"<head>"


class ClosedAssistant:
    """An ASGI application around MLflow's: the page itself says that the assistant has come."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if (scope["type"], scope.get("method"), scope.get("path")) != ("http", "GET", "/"):
            await self._application(scope, receive, send)
            return
        start: list[Message] = []
        content = b""

        async def changed(message: Message) -> None:
            nonlocal content
            if message["type"] == "http.response.start":
                start.append(message)
                return
            content += message.get("body", b"")
            if not message.get("more_body"):
                body = content.replace(HEAD, HEAD + SCRIPT, 1)
                headers = [pair for pair in start[0]["headers"] if pair[0].lower() != b"content-length"]
                length = [(b"content-length", str(len(body)).encode())] if body else []
                await send({**start[0], "headers": [*headers, *length]})
                await send({"type": "http.response.body", "body": body})

        await self._application(scope, receive, changed)
