"""Who is told: each of Prefect's notification blocks that is named `stockml-notices`, be it Slack, mail or another.

A person makes it in Prefect's page; from STOCKML_WEBHOOK_URL it is made here, for a webhook that takes `{"text": …}`,
as Slack's and Mattermost's do. Without any, the flow `notice` logs the line and keeps it in STOCKML_HOME/notices.log.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from uuid import UUID

from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import RunDeployment, SendNotification
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from deployments.registration import POOL, PULL_STEPS
from deployments.registration.deployments import form_of, make_pool
from stockml.errors import InvalidSetting

Notify = Callable[[str], list[Any]]
BLOCK = "stockml-notices"
SUBJECT = "stockml: {{ flow.name }} {{ flow_run.name }} {{ flow_run.state.name }}"
# Apprise's fields of a JSON message, by what becomes of them: one is renamed, those without a name are left out
FIELDS = {":message": "text", ":title": "", ":version": "", ":attachments": "", ":type": ""}


def notifier(client: SyncPrefectClient, environ: Mapping[str, str]) -> Notify:
    """What gives the actions that tell a line, a template of Prefect's, to whom it concerns. Raises InvalidSetting."""
    if url := environ.get("STOCKML_WEBHOOK_URL"):
        _keep_webhook(url)
    if blocks := _blocks(client):
        return lambda text: [SendNotification(block_document_id=each, subject=SUBJECT, body=text) for each in blocks]
    log = _notice_deployment(client)

    def logged(text: str) -> list[Any]:
        what = {"__prefect_kind": "jinja", "template": text}
        return [RunDeployment(source="selected", deployment_id=log, parameters={"what": what})]

    return logged


def forget_earlier(client: SyncPrefectClient) -> None:
    """Delete the block that versions before 0.2 made: a webhook, by which Prefect sends no notices."""
    with suppress(ObjectNotFound):
        client.delete_block_document(client.read_block_document_by_name(BLOCK, "webhook").id)


def webhook_address(url: str) -> str:
    """The webhook as Prefect's notifications (Apprise) name one to which `{"text": …}` is posted, and nothing else.

    Raises InvalidSetting, which does not say what was given.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise InvalidSetting("STOCKML_WEBHOOK_URL", "…", "an address such as https://hooks.slack.com/services/…")
    # quoted once more, since Apprise decodes a query twice
    asked = {f"-{name}": quote(value, safe="") for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    fields = urlencode(asked | FIELDS, safe=":", quote_via=quote)
    return f"{'jsons' if parts.scheme == 'https' else 'json'}://{parts.netloc}{parts.path or '/'}?{fields}"


def _keep_webhook(url: str) -> None:
    """The block that holds the address, which is a secret; it is replaced when the address changes."""
    webhook: Any = SlackWebhook(url=SecretStr(webhook_address(url)))  # its types do not know `_sync`
    webhook.save(BLOCK, overwrite=True, _sync=True)


def _blocks(client: SyncPrefectClient) -> tuple[UUID, ...]:
    wanted = {
        "block_documents": {"name": {"any_": [BLOCK]}},
        "block_schemas": {"block_capabilities": {"all_": ["notify"]}},
    }
    found = client.request("POST", "/block_documents/filter", json=wanted).json()
    return tuple(sorted(UUID(block["id"]) for block in found))


def _notice_deployment(client: SyncPrefectClient) -> UUID:
    make_pool(client)
    with suppress(ObjectNotFound):  # as earlier versions called it
        client.delete_deployment(client.read_deployment_by_name("notice/log").id)
    return client.create_deployment(
        flow_id=client.create_flow_from_name("notice"),
        name="log a notice",
        description="Logs what an automation has seen, and keeps it in STOCKML_HOME/notices.log.",
        entrypoint="flows/notices.py:notice",
        work_pool_name=POOL,
        parameter_openapi_schema=form_of("notices.notice"),
        pull_steps=PULL_STEPS,
    )
