"""[feeds] of keytrail.toml and the limits that feeds know are the same numbers under the same names."""

from __future__ import annotations

import tomllib
from dataclasses import fields

import pytest
from pydantic import ValidationError

from keytrail.settings.feeds import FeedsSettings
from keytrail.sources.feeds import FeedSettings


def test_the_settings_are_the_limits() -> None:
    limits = {item.name: getattr(FeedSettings(), item.name) for item in fields(FeedSettings) if item.name != "source"}
    assert FeedsSettings().model_dump() == limits
    assert all(field.description for field in FeedsSettings.model_fields.values())


def test_values_are_read_and_checked() -> None:
    text = 's3_since = 2026-03-01\nlookup_role_arns = ["arn:aws:iam::111122223333:role/keytrail"]'
    read = FeedsSettings(**tomllib.loads(text))
    assert str(read.s3_since) == "2026-03-01"
    assert read.lookup_role_arns == ("arn:aws:iam::111122223333:role/keytrail",)
    for wrong in ({"s3_since": "soon"}, {"sqs_visibility_seconds": 50_000}, {"s3_sinze": "x"}):
        with pytest.raises(ValidationError):
            FeedsSettings(**wrong)  # type: ignore[arg-type]
