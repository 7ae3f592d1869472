"""The tables of the state. What changes here needs a migration (migrations/versions), which a test compares."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from keytrail.store.state.columns import Instant, Json, PackedJson, SafeText

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by INTEGER columns only.
_Id = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[int]:
    return Column("id", _Id, primary_key=True, autoincrement=True)


# -- one process at a time ------------------------------------------------------------------------------------------

leases = Table(
    "leases",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("epoch", BigInteger, nullable=False),  # grows with each holder; a commit of an earlier one is refused
    Column("holder", SafeText, nullable=False),
    Column("renewed_at", Instant, nullable=False),
    Column("released", Boolean, nullable=False),
)

counters = Table(
    "counters",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# -- the lake -------------------------------------------------------------------------------------------------------

segments = Table(
    "segments",
    METADATA,
    _id(),
    Column("path", Text, nullable=False, unique=True),
    Column("first_sequence", BigInteger, nullable=False, unique=True),
    Column("rows", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("checksum", String(64), nullable=False),
    Column("ingest_day", Date, nullable=False),
    Column("first_time", Instant),
    Column("last_time", Instant),
    Column("timeless", BigInteger, nullable=False),
    Column("sites", Json, nullable=False),
    Column("history", Boolean, nullable=False),
    Column("quiet", Boolean, nullable=False),  # its alerts are not told
    Column("ingested", Instant, nullable=False),
)

# Files that no segment names any more, until nobody reads them.
dropped = Table(
    "dropped",
    METADATA,
    Column("path", Text, primary_key=True),
    Column("dropped_at", Instant, nullable=False),
)

objects = Table(
    "objects",
    METADATA,
    Column("digest", LargeBinary(20), primary_key=True),
    Column("name", SafeText, nullable=False),
    Column("committed_at", Instant, nullable=False),
    Column("records", BigInteger, nullable=False),
)

marks = Table(
    "marks",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# What could not be read, by the object it is in; gone when the object is read well.
damage = Table(
    "damage",
    METADATA,
    _id(),
    Column("object", SafeText, nullable=False, index=True),
    Column("what", SafeText, nullable=False),
    Column("account", SafeText, nullable=False),
    Column("region", SafeText, nullable=False),
    Column("day", Date),
    Column("at", Instant, nullable=False),
)

# -- rules ----------------------------------------------------------------------------------------------------------

# How far each rule is. The rule itself comes from the pack, from files, or from `rule_documents`.
rules = Table(
    "rules",
    METADATA,
    Column("rule_id", SafeText, primary_key=True),
    Column("name", SafeText, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("cursor", BigInteger, nullable=False),  # the position of the first record that it has not examined
    Column("running", Boolean, nullable=False),  # known to the service, and enabled, when it last looked
    Column("last_run", Instant),
    Column("status", String(16), nullable=False),  # new, succeeded, warning, failed, disabled, gone
    Column("message", SafeText, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("retry_at", Instant),
)

# What a person decided about a rule, whatever its file says.
rule_choices = Table(
    "rule_choices",
    METADATA,
    Column("rule_id", SafeText, primary_key=True),
    Column("enabled", Boolean),
    Column("catch_up", Boolean, nullable=False),
    Column("snoozed_until", Instant),
)

rule_documents = Table(
    "rule_documents",
    METADATA,
    Column("rule_id", SafeText, primary_key=True),
    Column("document", Json, nullable=False),
    Column("imported_at", Instant, nullable=False),
)

# Where a rule's coverage begins, breaks off and goes on, in positions: what lies between two lines is covered.
stretches = Table(
    "stretches",
    METADATA,
    _id(),
    Column("rule_id", SafeText, nullable=False, index=True),
    Column("first", BigInteger, nullable=False),
    Column("end", BigInteger),  # None while it grows with the rule's cursor
    Column("kind", String(16), nullable=False),  # searched, disabled, before (the rule was new)
    Column("at", Instant, nullable=False),
)

executions = Table(
    "executions",
    METADATA,
    _id(),
    Column("rule_id", SafeText, nullable=False),
    Column("kind", String(16), nullable=False),  # scheduled, manual
    Column("status", String(16), nullable=False),  # succeeded, warning, failed
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("runs", Integer, nullable=False),  # quiet runs that follow each other within an interval are one line
    Column("first", BigInteger),
    Column("end", BigInteger),
    Column("since", Instant),  # of a manual run: event times
    Column("until", Instant),
    Column("matched", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    Column("excluded", BigInteger, nullable=False),
    Column("suppressed", BigInteger, nullable=False),
    Column("deferred", BigInteger, nullable=False),
    Column("message", SafeText, nullable=False),
    Index("ix_executions_rule_id_id", "rule_id", "id"),
)

# -- alerts ---------------------------------------------------------------------------------------------------------

alerts = Table(
    "alerts",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),  # in the order in which alerts were made
    Column("rule_id", SafeText, nullable=False, index=True),
    Column("rule_name", SafeText, nullable=False),
    Column("event_id", SafeText, nullable=False, index=True),
    Column("event", String(64), nullable=False, index=True),  # of the event's identity: alerts of one event share it
    Column("position", BigInteger),
    Column("event_time", Instant),
    Column("created_at", Instant, nullable=False, index=True),
    Column("severity", String(16), nullable=False),
    Column("risk_score", Float, nullable=False),
    Column("account", SafeText, nullable=False),
    Column("region", SafeText, nullable=False),
    Column("building_block", Boolean, nullable=False),
    Column("status", String(16), nullable=False),  # open, acknowledged, closed
    Column("close_reason", String(32), nullable=False),
    Column("status_by", SafeText, nullable=False),  # who set it; "" while it is as it was made
    Column("status_at", Instant),
    Column("assignees", Json, nullable=False),
    Column("tags", Json, nullable=False),
    Column("snoozed_until", Instant),
    Column("updated_at", Instant, nullable=False),
    Column("verdict", String(16), nullable=False),  # "" while not investigated
    Column("score", Integer),
    Column("summary", SafeText, nullable=False),
    Column("quiet", Boolean, nullable=False),  # not told: it came of history or a backfill
    Column("suppression", Json),
    Column("document", Json, nullable=False),  # as the rule made it; what people and investigations add is beside it
    Index("ix_alerts_status_created_at", "status", "created_at"),
)

notes = Table(
    "notes",
    METADATA,
    _id(),
    Column("alert_id", ForeignKey("alerts.id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("who", SafeText, nullable=False),
    Column("text", SafeText, nullable=False),
)

# Who did what, to an alert, a rule, an exception: lines are added and never changed.
audit = Table(
    "audit",
    METADATA,
    _id(),
    Column("at", Instant, nullable=False),
    Column("who", SafeText, nullable=False),
    Column("kind", String(32), nullable=False),  # alert, rule, exception, exception list, value list, lake
    Column("subject", SafeText, nullable=False),
    Column("action", String(32), nullable=False),
    Column("detail", Json, nullable=False),
    Index("ix_audit_kind_subject", "kind", "subject"),
)

# Windows of suppression, by the alert that each counts into.
suppressions = Table(
    "suppressions",
    METADATA,
    Column("alert_id", ForeignKey("alerts.id"), primary_key=True),
    Column("rule_id", SafeText, nullable=False),
    Column("instance_id", String(64), nullable=False),
    Column("window", Json, nullable=False),  # detect.suppression's own value
    Index("ix_suppressions_rule_id_instance_id", "rule_id", "instance_id"),
)

# Matches that were counted into an alert and raised none of their own: known again when they come again.
counted = Table(
    "counted",
    METADATA,
    Column("match_id", String(64), primary_key=True),
    Column("at", Instant, nullable=False),
)

# -- investigations -------------------------------------------------------------------------------------------------

# A change of a key policy that raised an alert, and when it is to be looked at again.
cases = Table(
    "cases",
    METADATA,
    Column("event", String(64), primary_key=True),
    Column("event_id", SafeText, nullable=False),
    Column("event_time", Instant),
    Column("raw", LargeBinary, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("revision", Integer, nullable=False),  # 0 until the first one is made
    Column("due_at", Instant, index=True),
    Column("stage", Integer, nullable=False),  # how many of the planned looks are done
    Column("verdict", String(16), nullable=False),
    Column("told", String(16), nullable=False),  # the gravest verdict that people were told
    Column("as_of", BigInteger, nullable=False),  # of the latest revision
    Column("touched", BigInteger, nullable=False),  # the position behind the last record that held one of `watched`
    Column("watched", Json, nullable=False),  # what a new record has to hold to make it due
    Column("failures", Integer, nullable=False),
    Column("message", SafeText, nullable=False),
)

revisions = Table(
    "revisions",
    METADATA,
    Column("event", ForeignKey("cases.event"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("as_of", BigInteger, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("score", Integer, nullable=False),
    Column("document", PackedJson, nullable=False),
)

# -- telling --------------------------------------------------------------------------------------------------------

outbox = Table(
    "outbox",
    METADATA,
    _id(),
    Column("sink", SafeText, nullable=False),
    Column("message_id", SafeText, nullable=False),
    Column("alert_id", ForeignKey("alerts.id"), nullable=False, index=True),
    Column("reason", String(16), nullable=False),  # new, raised
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # waiting, sent, digested, refused
    Column("sent_at", Instant),
    Column("message", SafeText, nullable=False),  # why it did not go
    UniqueConstraint("sink", "message_id"),
    Index("ix_outbox_state_sink_due_at", "state", "sink", "due_at"),
    Index("ix_outbox_sink_sent_at", "sink", "sent_at"),
)

# -- exceptions and value lists -------------------------------------------------------------------------------------

exception_lists = Table(
    "exception_lists",
    METADATA,
    Column("list_id", SafeText, primary_key=True),
    Column("namespace", String(16), primary_key=True),
    Column("document", Json, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

exception_items = Table(
    "exception_items",
    METADATA,
    Column("item_id", SafeText, primary_key=True),
    Column("namespace", String(16), primary_key=True),
    Column("list_id", SafeText, nullable=False),
    Column("document", Json, nullable=False),
    Column("updated_at", Instant, nullable=False),
    ForeignKeyConstraint(["list_id", "namespace"], ["exception_lists.list_id", "exception_lists.namespace"]),
    Index("ix_exception_items_list_id_namespace", "list_id", "namespace"),
)

value_lists = Table(
    "value_lists",
    METADATA,
    Column("id", SafeText, primary_key=True),
    Column("type", String(32), nullable=False),
    Column("name", SafeText, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

value_items = Table(
    "value_items",
    METADATA,
    Column("list_id", ForeignKey("value_lists.id"), primary_key=True),
    Column("value", SafeText, primary_key=True),
)

# -- key policies -----------------------------------------------------------------------------------------------------

# The texts of policies, by the digest of what they say (PolicyVersion.digest): kept once, whichever key had them.
policy_documents = Table(
    "policy_documents",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("text", SafeText, nullable=False),
)

# How keys were found when they were looked at. What was found again is one line, from the first time to the last.
key_snapshots = Table(
    "key_snapshots",
    METADATA,
    _id(),
    Column("key_arn", SafeText, nullable=False),
    Column("account", String(12), nullable=False),
    Column("region", String(32), nullable=False),
    Column("source", String(16), nullable=False),  # kms, config
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("digest", String(64)),  # of the policy `default`; None where it may not be read
    Column("content", String(64), nullable=False),  # of all that was found: another one is another line
    Column("policies", Json, nullable=False),  # by name, the digest of each
    Column("facts", Json, nullable=False),  # aliases, tags, grants, state, rotation
    Index("ix_key_snapshots_key_arn_last_seen", "key_arn", "last_seen"),
)

# Versions that people vouch for.
good_policies = Table(
    "good_policies",
    METADATA,
    Column("key_arn", SafeText, primary_key=True),
    Column("digest", ForeignKey("policy_documents.digest"), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("who", SafeText, nullable=False),
    Column("note", SafeText, nullable=False),
)

# -- remedies ---------------------------------------------------------------------------------------------------------

# Plans that were shown, as they were shown; only these can be applied.
plans = Table(
    "plans",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("alert_id", String(64), nullable=False, index=True),
    Column("key_arn", SafeText, nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("document", Json, nullable=False),
    Column("shown_at", Instant, nullable=False),
    Column("shown_to", SafeText, nullable=False),
)

# What was done of a plan: a line before each call, and one after it. Lines are added and never changed.
plan_steps = Table(
    "plan_steps",
    METADATA,
    _id(),
    Column("plan_id", ForeignKey("plans.id"), nullable=False, index=True),
    Column("step", Integer, nullable=False),  # of the plan's calls, from 0; -1 for the plan as a whole
    # checked, begun, done, there already, failed, agreed, not seen, disputed
    Column("state", String(16), nullable=False),
    Column("at", Instant, nullable=False),
    Column("who", SafeText, nullable=False),  # the person
    Column("caller", SafeText, nullable=False),  # the ARN that AWS knew the caller by
    Column("detail", Json, nullable=False),
)

# -- case files -------------------------------------------------------------------------------------------------------

# Case files are what people keep about alerts that belong together; `cases` above are investigations under way.
case_files = Table(
    "case_files",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("title", SafeText, nullable=False),
    Column("status", String(16), nullable=False),  # open, closed
    Column("outcome", SafeText, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("opened_by", SafeText, nullable=False),
    Column("closed_at", Instant),
    Column("closed_by", SafeText, nullable=False),
)

case_alerts = Table(
    "case_alerts",
    METADATA,
    Column("case_id", ForeignKey("case_files.id"), primary_key=True),
    Column("alert_id", ForeignKey("alerts.id"), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("who", SafeText, nullable=False),
)

case_notes = Table(
    "case_notes",
    METADATA,
    _id(),
    Column("case_id", ForeignKey("case_files.id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("who", SafeText, nullable=False),
    Column("text", SafeText, nullable=False),
)
