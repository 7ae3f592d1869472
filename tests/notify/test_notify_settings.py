"""[notify] in keytrail.toml: what is refused and where, what is shown, how secrets are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from keytrail.aws import AwsSettings
from keytrail.errors import SettingsError
from keytrail.notify import SINKS, open_sinks
from keytrail.settings import Secret, check, describe, load_settings, template
from keytrail.settings.notify import SINKS as SINK_SETTINGS

GOOD = """\
[notify]
digest_after = 5

[[notify.sinks]]
name = "ops"
kind = "slack"
url = "https://hooks.slack.example/services/T0/B0/hush-hush"
min_severity = "high"

[[notify.sinks]]
name = "own"
kind = "webhook"
url_env = "OWN_URL"
secret = "hush-hush"
digest = false

[[notify.sinks]]
name = "mail"
kind = "email"
host = "mail.example"
sender = "keytrail@example.com"
to = ["team@example.com"]
user = "keytrail"
password_file = "/run/secrets/mail"

[[notify.sinks]]
name = "search"
kind = "bulk"
url = "https://search.example:9200"
index = "alerts"
api_key = "hush-hush"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "keytrail.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_good_settings_open_the_sinks_in_their_order(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert check(path) == []
    settings = load_settings(config=path).notify
    assert settings.digest_after == 5
    sinks = open_sinks(settings, AwsSettings())
    assert [(one.name, one.kind) for one in sinks] == [
        ("ops", "slack"), ("own", "webhook"), ("mail", "email"), ("search", "bulk"),
    ]  # fmt: skip
    for one in sinks:
        one.close()


def test_every_kind_has_settings_and_a_sink() -> None:
    assert list(SINKS) == list(SINK_SETTINGS)


def test_secrets_are_masked_and_their_places_told(tmp_path: Path) -> None:
    settings = load_settings(config=write(tmp_path, GOOD))
    rows = {row.name: row for row in describe(settings) if row.name.startswith("notify.sinks")}
    assert rows["notify.sinks.0.url"].value == '"https://hooks.slack.example/********"'
    assert rows["notify.sinks.0.url"].origin.endswith("keytrail.toml:7:1")
    assert rows["notify.sinks.1.secret"].value == rows["notify.sinks.3.api_key"].value == "********"
    assert rows["notify.sinks.1.url_env"].value == '"OWN_URL"'
    assert rows["notify.sinks.2.to"].value == '["team@example.com"]'
    assert "notify.sinks.2.port" not in rows, "only what was written"
    assert "hush" not in f"{rows} {settings!r} {settings.model_dump()} {settings.notify}"
    assert all(row.description for row in rows.values())


def sink(*lines: str) -> str:
    return "\n".join(["[[notify.sinks]]", 'name = "ops"', *lines, ""])


SLACK = ("kind = 'slack'", "url_env = 'X'")
MAIL = ("kind = 'email'", "host = 'mail.example'", "sender = 'a@example.com'")
BULK = ("kind = 'bulk'", "url = 'https://x'", "index = 'alerts'")
BUS = ("kind = 'eventbridge'", "bus_arn = 'arn:aws:events:eu-west-1:111122223333:event-bus/b'")
TO = "to = ['b@example.com']"
LOGIN = ("user = 'u'", "password = 'hush-hush'")


@pytest.mark.parametrize(
    ("text", "line", "what", "advice"),
    [
        ("[[notify.sinks]]\nkind = 'slack'\nurl_env = 'X'\n", 1, "notify.sinks.0.name is missing", "Its name"),
        (sink(), 1, "notify.sinks.0.kind: no kind is given", "One of webhook, slack"),
        (sink("kind = 'slac'"), 3, "notify.sinks.0.kind: no such kind", "One of webhook, slack"),
        (sink("kind = 'slack'"), 1, "one of url, url_env, url_file is needed", ""),
        (sink(*SLACK, "url = 'https://x/hush'"), 1, "url and url_env are both given", ""),
        (sink("kind = 'slack'", "url = 'hush-hush'"), 4, "notify.sinks.0.url: not a URL", "Its URL"),
        (sink("kind = 'slack'", "url = 'ftp://hush-hush/'"), 4, "notify.sinks.0.url: not a URL", ""),
        (sink("kind = 'slack'", "url = 'https://a:hush-hush@x/'"), 4, "must not hold a user or a password", ""),
        (sink("kind = 'slack'", "url = 5"), 4, "notify.sinks.0.url: input should be", "Text"),
        (sink(*SLACK, "secret = 'hush-hush'"), 5, "no key of a slack table is called secret", "Known for slack"),
        (sink("kind = 'webhook'", "secrt = 'hush-hush'", "url_env = 'X'"), 4, "called secrt", "Did you mean secret?"),
        (sink(*SLACK, "min_severity = 'lo'"), 5, "notify.sinks.0.min_severity: 'lo' is not allowed", "One of low"),
        (sink(*SLACK, "accounts = ['1']"), 5, "notify.sinks.0.accounts: '1' is not allowed", "A list of"),
        (sink(*SLACK, "verdicts = ['bad']"), 5, "notify.sinks.0.verdicts: 'bad' is not allowed", "malicious, review"),
        (sink("kind = 'ndjson'", "path = ''"), 4, "no file is called so", "A path"),
        (sink("kind = 'ocsf'", "path = 's3://'"), 4, "not s3://bucket", "s3://bucket/prefix"),
        (sink("kind = 'sns'", "topic_arn = 'x'"), 4, "notify.sinks.0.topic_arn: 'x'", "ARN of the topic"),
        (sink(*BUS, "source = 'aws.x'"), 5, "'aws.' is what AWS keeps", "Source of the events"),
        (sink(*MAIL, "to = ['a@b.c\\r\\nBcc: x@y.z']"), 6, "not an address", "Addresses"),
        (sink(*MAIL, "to = ['nobody']"), 6, "not an address", "Addresses"),
        (sink(*MAIL, "to = []"), 6, "nobody is named", "Addresses"),
        (sink(*MAIL, TO, "user = 'u'"), 1, "user and password go together", ""),
        (sink(*MAIL, TO, *LOGIN, "security = 'none'"), 1, "without encryption", ""),
        (sink(*BULK, *LOGIN, "api_key = 'hush'"), 1, "both given", ""),
        (sink(*BULK[:2], "index = 'a/../b'"), 5, "notify.sinks.0.index: 'a/../b' is not allowed", "in lower case"),
        (sink("kind = 'ndjson'", "path = 'x'") * 2, 1, "two sinks are called ops", "a name of its own"),
        ("[notify]\nsinks = 5\n", 2, "notify.sinks: ", "[[notify.sinks]]"),
        ("[notify.sinks]\nurl = 'hush-hush'\n", 1, "notify.sinks: ", "two brackets"),
        ("[notify]\nsinks = ['hush-hush']\n", 2, "notify.sinks.0", ""),
        ("[notify]\ndigest_after = 0\n", 2, "notify.digest_after: 0", "from 1 to 10000"),
        ("[notify]\nsink = 5\n", 2, "no setting is called notify.sink", "Did you mean notify.sinks?"),
    ],
)
def test_errors_name_the_line_and_tell_no_secret(text: str, line: int, what: str, advice: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    [error] = check(path)
    with pytest.raises(SettingsError) as caught:
        load_settings(config=path)
    assert str(caught.value) == str(error)
    assert error.place is not None
    assert (error.place.file, error.place.line) == (str(path), line)
    assert what in error.what
    assert advice in error.advice
    assert "hush" not in str(error)


def test_the_template_has_an_example_that_works(tmp_path: Path) -> None:
    text = template()
    start = text.index("#   [[notify.sinks]]")
    example = text[start:].partition("\n\n# ")[0] if "\n\n# " in text[start:] else text[start:]
    lines = [line.removeprefix("#   ").removeprefix("#") for line in example.splitlines() if line.startswith("#")]
    written = write(tmp_path, "\n".join(lines))
    assert check(written) == []
    settings = load_settings(config=written)
    assert [one.name for one in settings.notify.sinks] == ["on-call", "siem"]


def test_secrets_are_found_when_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = Secret("sink ops: secret", variable="KT_SECRET")
    with pytest.raises(SettingsError, match="KT_SECRET is not set"):
        by_name.value()
    monkeypatch.setenv("KT_SECRET", "hush-hush")
    assert by_name.value() == "hush-hush"
    path = tmp_path / "secret"
    by_file = Secret("sink ops: secret", file=path)
    for content in (None, b"", b"\xff", b"x" * 100_000):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SettingsError, match="sink ops: secret"):
            by_file.value()
    path.write_text("hush-hush\n")
    assert by_file.value() == "hush-hush"
    path.write_text("changed\n")
    assert by_file.value() == "changed"
    assert "hush" not in repr((by_name, by_file))
