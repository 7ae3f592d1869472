"""The signals of a verdict that are about who made the change: known or new, how it came in, what else it did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from keytrail.investigate.evidence import Evidence, Said
from keytrail.investigate.model import Act, Seen
from keytrail.investigate.names import length, short
from keytrail.phrases import start
from keytrail.policy import listed

YOUNG = timedelta(hours=24)
"""An access key that was first seen less than this before the change is young."""

SUSPICIOUS: Mapping[str, frozenset[str]] = {
    "made new ways into the account": frozenset(
        {"CreateUser", "CreateLoginProfile", "CreateAccessKey", "AttachUserPolicy", "PutUserPolicy"}
    ),
    "touched the logging": frozenset(
        {"StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors", "DeleteEventDataStore", "DeleteFlowLogs"}
    ),
    "put keys out of use": frozenset({"ScheduleKeyDeletion", "DisableKey", "DeleteImportedKeyMaterial"}),
    "gave copies of data away": frozenset(
        {"ModifySnapshotAttribute", "ModifyDBSnapshotAttribute", "ModifyDBClusterSnapshotAttribute"}
    ),
}
"""What an actor did around a change that, beside it, looks like an intrusion; refused attempts count."""

EVERYDAY = ("made new ways into the account", "put keys out of use")
"""Those that infrastructure code does every day."""

INFRASTRUCTURE = ("Terraform", "CloudFormation", "Pulumi", "aws-cdk", "cloudformation.amazonaws.com")


def is_new(e: Evidence) -> Said | None:
    """The principal did nothing with this key before. Everybody is new to a new key."""
    if e.change.creates or e.actor.before_on_key is not False:
        return None
    return Said(f"{start(short(e.actor.principal, e.owner))} had never been seen on this key.")


def is_known(e: Evidence) -> Said | None:
    """The principal had to do with this key before."""
    if e.change.creates or not e.actor.before_on_key:
        return None
    return Said(f"{start(short(e.actor.principal, e.owner))} is known on this key.")


def has_new_address(e: Evidence) -> Said | None:
    """Nobody of the account had come from there."""
    return _new(e.actor.address, "The change came from the address {}, never seen in this account before.")


def has_new_agent(e: Evidence) -> Said | None:
    """Nobody of the account had used that program."""
    return _new(e.actor.agent, "The program {} had never been seen in this account before.")


def _new(seen: Seen, sentence: str) -> Said | None:
    return Said(sentence.replace("{}", seen.value)) if seen.is_new else None


def has_no_mfa(e: Evidence) -> Said | None:
    """A person, or a session that a person opened, without a second factor."""
    person = e.actor.type in ("IAMUser", "Root") or any(":user/" in act.who for act in e.actor.chain)
    return Said("A user without a second factor made it.") if person and e.actor.mfa is False else None


def has_young_key(e: Evidence) -> Said | None:
    """A long-term access key that is hardly older than the change. Those of sessions are always young."""
    first, since, now = e.actor.access_key_first_seen, e.actor.account_seen_since, e.change.event.time
    if e.actor.access_key_kind != "long-term" or first is None or since is None:
        return None
    if now - first >= YOUNG or now - since < YOUNG:
        return None
    return Said(f"The access key that signed it was first seen {length(now - first)} before.")


def is_infrastructure(e: Evidence) -> Said | None:
    """A known tool for infrastructure code, from where it always comes. A name alone is easily given."""
    agent, address = e.actor.agent, e.actor.address
    tool = next((one for one in INFRASTRUCTURE if one in agent.value), None)
    known = address.before_in_account or address.value.endswith(".amazonaws.com")
    if tool is None or not agent.before_in_account or not known:
        return None
    return Said(f"It was made by infrastructure code ({tool}) that had been seen in this account before.")


def did_one_thing_more(e: Evidence) -> Said | None:
    """One kind of suspicious act around the change, which everyday work may explain."""
    found = _suspicious(e)
    return _acts(e, found) if len(found) == 1 else None


def did_much_more(e: Evidence) -> Said | None:
    """Several kinds of suspicious acts around the change."""
    found = _suspicious(e)
    return _acts(e, found) if len(found) > 1 else None


def _suspicious(e: Evidence) -> dict[str, tuple[Act, ...]]:
    everyday = EVERYDAY if is_infrastructure(e) is not None else ()
    found = {what: e.acts(names) for what, names in SUSPICIOUS.items() if what not in everyday}
    return {what: acts for what, acts in found.items() if acts}


def _acts(e: Evidence, found: Mapping[str, tuple[Act, ...]]) -> Said:
    what = [f"{one} ({listed(list(dict.fromkeys(act.event_name for act in acts)))})" for one, acts in found.items()]
    ids = tuple(act.event_id for acts in found.values() for act in acts)
    who = short(e.actor.principal, e.owner)
    if any(act.who != e.actor.who for acts in found.values() for act in acts):
        who += ", or somebody behind it,"
    tried = ", or tried to" if any(act.outcome == "failure" for acts in found.values() for act in acts) else ""
    return Said(f"Around the change {who} also {listed(what)}{tried}.", event_ids=ids)
