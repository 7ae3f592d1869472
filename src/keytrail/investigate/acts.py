"""Events as sentences: what an act was, for the lists of acts and the time line."""

from __future__ import annotations

from keytrail.investigate.events import Event
from keytrail.investigate.model import Act


def act_of(event: Event, *, about: str = "") -> Act:
    """What an event was, in a sentence. `about` names the principal it concerns, if that is not the caller."""
    return Act(
        time=event.time,
        event_id=event.id,
        event_name=event.name,
        provider=event.provider,
        account=event.account,
        region=event.region,
        who=event.who,
        address=event.address,
        outcome="success" if event.succeeded else "failure",
        error=event.error,
        kind="other",
        sentence=f"{event.name} of {event.provider}",
        about=about,
    )
