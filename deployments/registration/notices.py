"""Who is told: each of Prefect's notification blocks that is named `stockml-notices`, be it Slack, mail or another.

A person makes it in Prefect's page; from STOCKML_WEBHOOK_URL it is made here, for a webhook that takes `{"text": …}`,
as Slack's and Mattermost's do. Without any, the flow `notice` logs the line and keeps it in STOCKML_HOME/notices.log.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from uuid import UUID

from deployments.registration import POOL, PULL_STEPS, make_pool
from stockml.errors import InvalidSetting

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

BLOCK = "stockml-notices"
SUBJECT = "stockml: {{ flow.name }} {{ flow_run.name }} {{ flow_run.state.name }}"
# Apprise's fields of a JSON message, by what becomes of them: one is renamed, those without a name are left out
FIELDS = {":message": "text", ":title": "", ":version": "", ":attachments": "", ":type": ""}


@dataclass(frozen=True)
class Told:
    """The notification blocks, or where there are none the deployment of the flow `notice`."""

    blocks: Sequence[UUID]
    log: UUID | None = None

    def of(self, text: str) -> list[Any]:
        """The actions that tell a line, given as Prefect's template."""
        from prefect.events.actions import RunDeployment, SendNotification

        if self.log is None:
            return [SendNotification(block_document_id=block, subject=SUBJECT, body=text) for block in self.blocks]
        what = {"__prefect_kind": "jinja", "template": text}
        return [RunDeployment(source="selected", deployment_id=self.log, parameters={"what": what})]


def told(client: "SyncPrefectClient", environ: Mapping[str, str]) -> Told:
    """Who is told from now on. Raises InvalidSetting."""
    if url := environ.get("STOCKML_WEBHOOK_URL"):
        _keep_webhook(url)
    blocks = _blocks(client)
    return Told(blocks) if blocks else Told((), _notice_deployment(client))


def forget_earlier(client: "SyncPrefectClient") -> None:
    """Delete the block that versions before 0.2 made: a webhook, by which Prefect sends no notices."""
    from prefect.exceptions import ObjectNotFound

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
    from prefect.blocks.notifications import SlackWebhook
    from pydantic import SecretStr

    webhook: Any = SlackWebhook(url=SecretStr(webhook_address(url)))  # its types do not know `_sync`
    webhook.save(BLOCK, overwrite=True, _sync=True)


def _blocks(client: "SyncPrefectClient") -> tuple[UUID, ...]:
    wanted = {
        "block_documents": {"name": {"any_": [BLOCK]}},
        "block_schemas": {"block_capabilities": {"all_": ["notify"]}},
    }
    found = client.request("POST", "/block_documents/filter", json=wanted).json()
    return tuple(sorted(UUID(block["id"]) for block in found))


def _notice_deployment(client: "SyncPrefectClient") -> UUID:
    """The deployment of the flow `notice`, on the same pool as the nights."""
    from prefect.exceptions import ObjectNotFound
    from prefect.utilities.callables import parameter_schema

    from flows.notices import notice

    make_pool(client)
    with suppress(ObjectNotFound):  # as earlier versions called it
        client.delete_deployment(client.read_deployment_by_name("notice/log").id)
    return client.create_deployment(
        flow_id=client.create_flow_from_name(notice.name),
        name="log a notice",
        description="Logs what an automation has seen, and keeps it in STOCKML_HOME/notices.log.",
        entrypoint="flows/notices.py:notice",
        work_pool_name=POOL,
        parameter_openapi_schema=parameter_schema(notice.fn).model_dump_for_openapi(),
        pull_steps=PULL_STEPS,
    )
