"""The rule object: what is searched, how bad a match is, and what a person should know about it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from keytrail.errors import Place, QueryError, RuleError

if TYPE_CHECKING:  # exceptions.py stands on this module
    from keytrail.rules.exceptions import ExceptionItem, ExceptionList

# From harmless to grave; comparing positions compares severities.
SEVERITIES = ("low", "medium", "high", "critical")

# One value of a rule as JSON has it: text, number, truth value, list or mapping.
JsonObject = Mapping[str, object]

# Attributes that say where a rule stands in keytrail; the API form does not have them.
_OURS = frozenset({"extra", "origin", "query_text", "unsupported_reason"})

# Kept by the alerting framework beside a rule's parameters, not among them (elastic-engine.md, section 4.2).
_NOT_PARAMETERS = frozenset(
    {
        "id", "name", "tags", "enabled", "interval", "actions", "throttle", "revision",
        "created_at", "created_by", "updated_at", "updated_by",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeverityMapping:
    """An event whose `field` equals `value` raises the alert's severity to `severity`."""

    field: str
    operator: str
    value: str
    severity: str


@dataclass(frozen=True, slots=True)
class RiskScoreMapping:
    """The number found in the event's `field` replaces the alert's risk score."""

    field: str
    operator: str
    value: str
    risk_score: int | None = None


@dataclass(frozen=True, slots=True)
class TextPlace:
    """Where each character of one string stands in its file, whatever the file's way of writing strings.

    A mark (offset, line, column) places the character at `offset` of the string; those after it follow on the same
    line up to the next mark. Marks ascend, the first is for offset 0.
    """

    file: str
    marks: tuple[tuple[int, int, int], ...]

    def at(self, offset: int) -> Place:
        """Return the place of the character at `offset` (from 0); the string's length gives its end.

        >>> str(TextPlace("a.toml", ((0, 3, 9), (5, 4, 1))).at(6))
        'a.toml:4:2'
        """
        start, line, column = self.marks[max(bisect_right(self.marks, offset, key=lambda mark: mark[0]) - 1, 0)]
        return Place(self.file, line=line, column=column + max(offset - start, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A detection rule. Attributes carry the names of Elastic's API; `from` is `from_`, a word of Python's.

    Tuples stand for lists; None means that the file does not say. Mappings are kept as they were read and must
    not be changed. `interval` is a duration ("5m"), `from_` and `to` are date math ("now-6m"), `risk_score`
    is 0 to 100. `extra` holds the fields that only the rule's own type has, and those that nobody knows.
    """

    rule_id: str
    name: str
    description: str
    type: str
    severity: str
    risk_score: int
    origin: Place
    query: str = ""
    language: str = "kuery"
    index: tuple[str, ...] = ()
    data_view_id: str | None = None
    filters: tuple[JsonObject, ...] = ()
    saved_id: str | None = None
    alert_suppression: JsonObject | None = None
    id: str | None = None
    # The API creates rules disabled. A rule in a file that somebody points at is meant to run.
    enabled: bool = True
    interval: str = "5m"
    from_: str = "now-6m"
    to: str = "now"
    max_signals: int = 100
    tags: tuple[str, ...] = ()
    author: tuple[str, ...] = ()
    license: str | None = None
    false_positives: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    threat: tuple[JsonObject, ...] = ()
    note: str | None = None
    setup: str = ""
    investigation_fields: tuple[str, ...] = ()
    severity_mapping: tuple[SeverityMapping, ...] = ()
    risk_score_mapping: tuple[RiskScoreMapping, ...] = ()
    rule_name_override: str | None = None
    timestamp_override: str | None = None
    timestamp_override_fallback_disabled: bool | None = None
    building_block_type: str | None = None
    exceptions_list: tuple[JsonObject, ...] = ()
    actions: tuple[JsonObject, ...] = ()
    response_actions: tuple[JsonObject, ...] | None = None
    throttle: str | None = None
    related_integrations: tuple[JsonObject, ...] = ()
    required_fields: tuple[JsonObject, ...] = ()
    meta: JsonObject | None = None
    namespace: str | None = None
    timeline_id: str | None = None
    timeline_title: str | None = None
    output_index: str | None = None
    version: int = 1
    revision: int = 0
    # Whether the rule belongs to the built-in pack; never taken from a user's file.
    immutable: bool = False
    rule_source: JsonObject | None = None
    created_at: str | None = None
    created_by: str | None = None
    updated_at: str | None = None
    updated_by: str | None = None
    extra: JsonObject = field(default_factory=dict)
    # Where the query stands in the file, None if it is not there; see query_place.
    query_text: TextPlace | None = field(default=None, compare=False)
    unsupported_reason: str = ""

    @property
    def supported(self) -> bool:
        """Whether keytrail can run the rule as it is meant; if not, `unsupported_reason` says why."""
        return not self.unsupported_reason

    @property
    def query_place(self) -> Place:
        """Where the query's first character stands; the rule's own place if the file holds no query."""
        return self.query_text.at(0) if self.query_text else self.origin

    def to_dict(self) -> dict[str, object]:
        """Return the rule in the API's form (JSON values, snake_case); what the rule does not say is left out."""
        result: dict[str, object] = {}
        for name in _API_NAMES:
            value = getattr(self, name)
            if value is not None and not (name in _NOT_WITHOUT_LANGUAGE and not self.language):
                result[name.rstrip("_")] = _plain(value)
        result.pop("investigation_fields")
        if self.investigation_fields:
            result["investigation_fields"] = {"field_names": list(self.investigation_fields)}
        return result | dict(self.extra)

    def parameters(self) -> dict[str, object]:
        """Return the snapshot that an alert carries as `kibana.alert.rule.parameters`.

        It is `to_dict` without what the alert says elsewhere: name, tags, schedule, actions and history.
        """
        return {name: value for name, value in self.to_dict().items() if name not in _NOT_PARAMETERS}

    def query_error(self, error: QueryError) -> RuleError:
        """Return `error`, found in this rule's query, as an error at its line and column of the rule's file."""
        place = self.query_text.at(error.offset) if self.query_text else self.origin
        # A place of the query's own would say nothing here; only its words, its text and its caret are wanted.
        shown = str(QueryError(error.what, text=error.text, offset=error.offset))
        return RuleError(f"query of rule {self.name!r}: {shown}", place=place, advice=error.advice)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules with unique ids, everything that was wrong with their files, what a person should be told; exceptions."""

    rules: tuple[Rule, ...] = ()
    errors: tuple[RuleError, ...] = ()
    notes: tuple[str, ...] = ()
    exception_lists: tuple[ExceptionList, ...] = ()
    exception_items: tuple[ExceptionItem, ...] = ()

    @property
    def runnable(self) -> tuple[Rule, ...]:
        """The rules to run: enabled, and of a kind that keytrail can run as it is meant."""
        return tuple(rule for rule in self.rules if rule.enabled and rule.supported)


_API_NAMES = tuple(f.name for f in fields(Rule) if f.name not in _OURS)
# A machine learning rule has neither.
_NOT_WITHOUT_LANGUAGE = frozenset({"query", "language"})


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, SeverityMapping):
        return {"field": value.field, "operator": value.operator, "value": value.value, "severity": value.severity}
    if isinstance(value, RiskScoreMapping):
        mapping = {"field": value.field, "operator": value.operator, "value": value.value}
        return mapping if value.risk_score is None else mapping | {"risk_score": value.risk_score}
    return value
