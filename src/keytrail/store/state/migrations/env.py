"""Run by Alembic: the migrations in one transaction, on the connection that `migrate` hands over."""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from keytrail.store.state.columns import Instant, Json, SafeText
from keytrail.store.state.tables import METADATA

_KEPT_AS = {Instant: "sa.BigInteger()", Json: "sa.Text()", SafeText: "sa.Text()"}


def _render(kind: str, item: object, _: AutogenContext) -> str | Literal[False]:
    """A migration names what the database has, not our types over it, which may change."""
    return _KEPT_AS.get(type(item), False) if kind == "type" else False


def _run() -> None:
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=METADATA, render_item=_render)
    with context.begin_transaction():
        context.run_migrations()


# Who only looks into all modules (for doctests, say) imports this without Alembic.
if hasattr(context, "config"):
    _run()
