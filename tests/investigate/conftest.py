"""The story of a small simulated archive, told by a scan of it: made once for all tests of this folder."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from keytrail.investigate.schema import schema
from tests.investigate.archive import Archive, Told, investigations, make_archive


@pytest.fixture(scope="session", params=["delivery", "large"])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The story in small objects as CloudTrail delivers them, and in large ones that mix accounts and Regions."""
    return make_archive(tmp_path_factory.mktemp("archive"), request.param)


@pytest.fixture(scope="session")
def told(archive: Archive) -> Told:
    """The investigation of every change in the archive, by event id, as a scan finds it."""
    return investigations(archive.scan(jobs=1))


@pytest.fixture(scope="session")
def valid() -> Draft202012Validator:
    """The schema of the documents."""
    Draft202012Validator.check_schema(schema())
    return Draft202012Validator(schema())
