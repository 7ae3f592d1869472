"""Who gets which message, and when a flood becomes a digest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.notify import digest_of, pace, routes
from keytrail.notify import test_message as message_of_a_test
from keytrail.notify.words import digest_text
from keytrail.settings import NotifySettings
from tests.notify.conftest import NOW, message


def sinks(**route: object) -> tuple[object, ...]:
    table = {"name": "ops", "kind": "ndjson", "path": "x", **route}
    return NotifySettings.model_validate({"sinks": [table]}).sinks


@pytest.mark.parametrize(
    ("route", "gets"),
    [
        ({}, True),
        ({"min_severity": "high"}, True),
        ({"min_severity": "critical"}, False),
        ({"rules": ["kms-policy-changed"]}, True),
        ({"rules": ["other", "kms key *"]}, True),
        ({"rules": ["KMS*deleted"]}, False),
        ({"rules": ["kms-policy-*"]}, False),
        ({"accounts": ["111122223333"]}, True),
        ({"accounts": ["999988887777"]}, False),
        ({"verdicts": ["malicious", "review"]}, True),
        ({"verdicts": ["none", "expected"]}, False),
        ({"min_severity": "low", "rules": ["*"], "accounts": ["111122223333"], "verdicts": ["malicious"]}, True),
        ({"rules": ["*"], "accounts": ["999988887777"], "verdicts": ["malicious"]}, False),
    ],
)
def test_every_condition_of_a_sink_must_hold(route: dict[str, object], gets: bool) -> None:
    assert routes(message(), sinks(**route)) == (("ops",) if gets else ())  # type: ignore[arg-type]


def test_none_is_the_verdict_of_what_was_not_investigated() -> None:
    assert routes(message(verdict=None), sinks(verdicts=["none"])) == ("ops",)  # type: ignore[arg-type]
    assert routes(message(verdict=None), sinks(verdicts=["malicious"])) == ()  # type: ignore[arg-type]


def test_a_severity_that_nobody_knows_is_told() -> None:
    strange = message(**{"kibana.alert.severity": "apocalyptic"})
    assert routes(strange, sinks(min_severity="critical")) == ("ops",)  # type: ignore[arg-type]


def test_a_test_goes_everywhere_in_the_order_of_the_file() -> None:
    tables = [
        {"name": name, "kind": "ndjson", "path": "x", "min_severity": "critical", "rules": ["none such"]}
        for name in ("b", "a")
    ]
    settings = NotifySettings.model_validate({"sinks": tables})
    assert routes(message_of_a_test(NOW), settings.sinks) == ("b", "a")
    assert routes(message(), settings.sinks) == ()


@given(st.integers(1, 60), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), max_size=40))
def test_a_window_holds_no_more_than_its_messages_and_one_digest_and_loses_none(
    after: int, minutes: list[tuple[int, int]]
) -> None:
    window = 10
    now = waiting = told = 0
    singles: list[int] = []
    digests: list[int] = []
    arrived = 0
    for pause, count in [*minutes, (window + 1, 0), (window + 1, 0)]:
        now += pause
        waiting += count
        arrived += count
        sent = [at for at in singles if at > now - window]
        recent = any(at > now - window for at in digests)
        match pace(sent=len(sent), digested=recent, waiting=waiting, digest_after=after):
            case "single":
                singles += [now] * waiting
                told, waiting = told + waiting, 0
            case "digest":
                digests.append(now)
                told, waiting = told + waiting, 0
        assert len([at for at in singles if at > now - window]) <= after
        assert len([at for at in digests if at > now - window]) <= 1
    assert (told, waiting) == (arrived, 0)


def test_a_digest_counts_by_rule_verdict_and_account_and_names_the_gravest() -> None:
    calm = [message(n, verdict="expected", **{"kibana.alert.severity": "critical"}) for n in range(2, 9)]
    grave = message(1, verdict="malicious", **{"kibana.alert.severity": "low"})
    digest = digest_of([*calm, grave, message(20, verdict=None)])
    assert digest.total == 9
    assert digest.verdicts == (("expected", 7), ("malicious", 1), ("not investigated", 1))
    assert digest.rules == (("KMS key policy changed", 9),)
    assert digest.accounts == (("111122223333", 9),)
    assert digest.gravest[0] is grave
    assert len(digest.gravest) == 5
    text = digest_text(digest)
    assert text.subject.startswith("9 alerts, gravest: [LOW] malicious: KMS key policy changed")
    assert dict(text.lines)["Verdicts"] == "7 expected, 1 malicious, 1 not investigated"
    assert any(f"{1:064x}" in line for line in text.more)


def test_a_digest_is_the_same_in_any_order_and_another_one_for_other_messages() -> None:
    some = [message(n) for n in range(5)]
    assert digest_of(some) == digest_of(reversed(some))
    assert digest_of(some).id != digest_of(some[1:]).id


def test_a_digest_of_very_many_names_stays_bounded() -> None:
    digest = digest_of(message(n, **{"kibana.alert.rule.name": f"rule {n}"}) for n in range(300))
    assert sum(count for _, count in digest.rules) == 300
    assert digest.rules[-1] == ("(of 250 others)", 250)
    assert "more" in dict(digest_text(digest).lines)["Rules"]
