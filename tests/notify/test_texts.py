"""What people read: which facts, in which words, and that no string of an attacker does anything in it."""

from __future__ import annotations

import html
import json
import re
from email.message import EmailMessage

import pytest

from keytrail.notify import Message, digest_of
from keytrail.notify import test_message as message_of_a_test
from keytrail.notify.safe import fitted, for_slack, inert, without
from keytrail.notify.sinks import slack, teams
from keytrail.notify.sinks.email import html as mail_page
from keytrail.notify.words import MOST_SUBJECT, Text, digest_text, text_of
from tests.notify.conftest import HOSTILE, KEY, NOW, hostile, message


def test_a_message_says_what_who_where_when_and_what_to_do_next() -> None:
    text = text_of(message())
    assert text.subject == "[HIGH] malicious: KMS key policy changed - alias/orders (111122223333)"
    assert text.summary == "Admin/mallory let account 999988887777 decrypt with alias/orders."
    assert dict(text.lines) == {
        "Severity": "high, risk score 73",
        "Verdict": "malicious, score 87",
        "Rule": "KMS key policy changed",
        "What": "PutKeyPolicy success",
        "Key": "alias/orders",
        "Who": "Admin/mallory",
        "From": "198.51.100.7",
        "Account": "111122223333 eu-west-1",
        "Time": "2026-03-06 22:27:30 UTC",
        "Alert": f"{1:064x}",
    }
    assert text.commands == (f"keytrail alerts show {1:064x}", f"keytrail investigate {1:064x}")
    assert all(part in text.plain() for part in (text.summary, *text.commands, *(value for _, value in text.lines)))


def test_an_alert_without_an_investigation_says_so() -> None:
    text = text_of(message(verdict=None))
    assert dict(text.lines)["Verdict"] == "not investigated"
    assert dict(text.lines)["Key"] == KEY.rpartition("/")[2]
    assert text.summary.startswith("configuration event by mallory")
    assert text.commands == (f"keytrail alerts show {1:064x}",)


def test_a_raised_verdict_says_so() -> None:
    text = text_of(message(reason="raised"))
    assert text.subject.startswith("[HIGH] verdict raised to malicious: ")
    assert text.summary.startswith("The verdict was raised to malicious. Admin/mallory")
    assert dict(text.lines)["Verdict"] == "raised to malicious, score 87"


def test_a_test_says_that_it_is_one() -> None:
    text = text_of(message_of_a_test(NOW))
    assert text.subject == "[TEST] this is a test: Test of keytrail"
    assert "nothing has happened" in text.summary
    assert message_of_a_test(NOW) == message_of_a_test(NOW)


def test_an_alert_that_says_nothing_is_told_all_the_same() -> None:
    text = text_of(Message("m", {"kibana.alert.uuid": "x; rm -rf /", "event": 5, "kibana.alert.rule.threat": "x"}))
    assert text.subject == "alert"
    assert text.summary, "chats refuse an empty text"
    assert text.commands == (), "nothing to paste into a shell"


def plain_faces(text: Text) -> list[str]:
    return [text.subject, text.summary, text.plain(), *(value for _, value in text.lines), *text.more]


@pytest.mark.parametrize("text", [text_of(hostile()), digest_text(digest_of([hostile(1), hostile(2)]))])
def test_hostile_texts_are_inert_in_every_face(text: Text) -> None:
    for face in plain_faces(text):
        assert "://" not in face
        assert "www." not in face
        assert not re.search("[^\n -~…]", face), "no control, no bidirectional, no invisible character"
    assert "\n" not in text.subject
    assert len(text.subject) <= MOST_SUBJECT

    blocks = slack.payload(text)
    assert_slack_limits(blocks)
    for kind, value in slack_texts(blocks):
        bare = re.sub(r"`[^`]*`", "", value) if kind == "mrkdwn" else value
        assert not re.search("<[!@#h]", value)
        assert kind == "plain_text" or not re.search(r"@|<|\[|~|_", bare)
    fallback = str(blocks["text"])
    assert not re.search(r"[@<*_`~\[\]|]", fallback)

    card = json.dumps(teams.payload(text))
    assert "{{" not in card.replace("[{", "").replace("}]", "")
    assert "entities" not in card
    assert '"TextBlock"' not in card, "which would read Markdown"

    page = mail_page(text)
    tags = set(re.findall(r"<(/?\w+|!doctype)", page))
    assert {tag.strip("/") for tag in tags} <= {
        "!doctype", "html", "head", "meta", "body", "p", "b", "table", "tr", "th", "td", "ol", "li", "pre",
    }  # fmt: skip
    assert html.unescape(page).count("<script>") == page.count("&lt;script&gt;")

    mail = EmailMessage()
    mail["Subject"] = text.subject
    assert "\nBcc" not in mail.as_string()


def slack_texts(blocks: dict[str, object]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if value.get("type") in ("plain_text", "mrkdwn"):
                assert value.get("verbatim") is True or value.get("emoji") is False
                found.append((value["type"], value["text"]))
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(blocks["blocks"])
    return found


def assert_slack_limits(payload: dict[str, object]) -> None:
    blocks = payload["blocks"]
    assert isinstance(blocks, list)
    assert len(blocks) <= 50
    for block in blocks:
        if block["type"] == "header":
            assert len(block["text"]["text"]) <= 150
        if block["type"] == "section" and "text" in block:
            assert 0 < len(block["text"]["text"]) <= 3000
        if "fields" in block:
            assert len(block["fields"]) <= 10
            assert all(0 < len(one["text"]) <= 2000 for one in block["fields"])


@pytest.mark.parametrize("text", ["&" * 10_000, "x" * 10_000, "\u202e" * 10_000, "`" * 10_000, HOSTILE * 100])
def test_long_texts_are_shortened_visibly_and_fit(text: str) -> None:
    told = text_of(message(text=text))
    assert_slack_limits(slack.payload(told))
    assert "…" in told.summary
    assert len(json.dumps(teams.payload(told))) < 28 * 1024
    flood = digest_text(digest_of(message(n, text=text + str(n)) for n in range(200)))
    assert_slack_limits(slack.payload(flood))
    assert len(json.dumps(teams.payload(flood))) < 28 * 1024


def test_inert_text_keeps_what_people_need_to_read() -> None:
    for name in ("arn:aws:iam::111122223333:role/a_b-c", "eve@example.com", "2001:db8::7", "alias/Zürich", "1.5"):
        assert inert(name) == name
    assert inert("x" * 500, 10) == "x" * 9 + "…"
    assert inert("HTTPS://evil.example/a evil.example:8080 mailto:eve@x javascript:alert") == (
        "HTTPS[:]//evil[.]example/a evil[.]example:8080 mailto[:]eve@x javascript[:]alert"
    )


def test_an_escape_never_makes_a_text_too_long() -> None:
    for length in range(12):
        assert len(fitted("&" * 5, for_slack, length)) <= length
    assert fitted("a&b", for_slack, 100) == "a&amp;b"


def test_secrets_are_hidden_in_what_servers_say() -> None:
    assert without("bad token abcdef in abcdefgh", ["abcdef", "abcdefgh", ""]) == "bad token ******** in ********"
