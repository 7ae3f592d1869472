"""Clients for AWS services: profile, role, endpoint, time-outs and retries from one settings object."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, overload

from keytrail.aws.failures import source_error

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient
    from botocore.config import Config
    from botocore.loaders import Loader
    from botocore.session import Session as BotocoreSession
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

_ROLE_SESSION_NAME = "keytrail"
# More than the threads that read ahead in one process, so that none of them opens a connection for each object.
_POOLED_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """How to reach AWS. An empty text means: as the AWS SDK decides (environment, ~/.aws, instance role).

    `role_arn` is assumed with the credentials of the profile, `external_id` given with it. `endpoint_url` replaces the
    endpoint of every service (a test server, an S3-compatible store). `max_attempts` counts the first attempt.
    """

    profile: str = ""
    region: str = ""
    role_arn: str = ""
    external_id: str = ""
    endpoint_url: str = ""
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    max_attempts: int = 5
    retry_mode: Literal["standard", "adaptive"] = "standard"


# Sessions and clients hold sockets and locks, which two processes must not share: a forked process starts empty.
_sessions: dict[AwsSettings, boto3.Session] = {}
_clients: dict[tuple[str, str, AwsSettings], BaseClient] = {}
_lock = threading.RLock()


def _forget() -> None:
    global _lock
    _lock = threading.RLock()
    _sessions.clear()
    _clients.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@overload
def client(service: Literal["s3"], settings: AwsSettings, region: str | None = None) -> S3Client: ...
@overload
def client(service: Literal["cloudtrail"], settings: AwsSettings, region: str | None = None) -> CloudTrailClient: ...
@overload
def client(service: Literal["kms"], settings: AwsSettings, region: str | None = None) -> KMSClient: ...
@overload
def client(service: Literal["sts"], settings: AwsSettings, region: str | None = None) -> STSClient: ...
# The methods of a client are made from AWS's service description when it is created, so only stubs can type them.
@overload
def client(service: str, settings: AwsSettings, region: str | None = None) -> Any: ...
def client(service: str, settings: AwsSettings, region: str | None = None) -> Any:
    """Return the client of `service` (boto3's name of it) in `region`, by default the region of the settings.

    The same arguments give the same client within a process; clients may be used by several threads. Nothing is sent
    yet, so wrong credentials show only on the first call. Raises SourceError when the settings do not fit the machine
    (an unknown profile, no region, a role and no credentials to assume it with).
    """
    from botocore.exceptions import BotoCoreError

    key = (service, region or "", settings)
    with _lock:
        if (made := _clients.get(key)) is None:
            try:
                made = _session(settings).client(  # type: ignore[call-overload]
                    service,
                    region_name=region or None,
                    endpoint_url=settings.endpoint_url or None,
                    config=_config(settings),
                )
            except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint URL that is none
                raise source_error(error, action=service, resource=region or settings.region) from error
            _clients[key] = made
        return made


def forget(settings: AwsSettings) -> None:
    """Let go of what was made for these settings: of many accounts, each by a role, it would add up to gigabytes."""
    with _lock:
        _sessions.pop(settings, None)
        for key in [key for key in _clients if key[2] == settings]:
            _clients.pop(key).close()


def session_region(settings: AwsSettings) -> str:
    """Return the region of the settings or, without one, of the profile or environment; "" when there is none."""
    from botocore.exceptions import BotoCoreError

    with _lock:
        try:
            return _session(settings).region_name or ""
        except BotoCoreError as error:
            raise source_error(error, action="session", resource=settings.profile) from error


def _session(settings: AwsSettings) -> boto3.Session:
    import boto3
    from botocore.session import Session as BotocoreSession

    if (made := _sessions.get(settings)) is None:
        core = _sharing(BotocoreSession(profile=settings.profile or None))
        if settings.role_arn:
            core = _with_role(core, settings)
        made = _sessions[settings] = boto3.Session(botocore_session=core, region_name=settings.region or None)
        # boto3 adds its own folder to the loader, each time anew.
        paths = core.get_component("data_loader").search_paths
        paths[:] = dict.fromkeys(paths)
    return made


def _sharing(session: BotocoreSession) -> BotocoreSession:
    """The session, with AWS's descriptions of services, ten megabytes, in common with all others."""
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(path: str | None) -> Loader:
    from botocore.loaders import create_loader

    return create_loader(path)


def _with_role(source: BotocoreSession, settings: AwsSettings) -> BotocoreSession:
    """Return a session whose credentials are those of the role, fetched on first use and again before they expire."""
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        CredentialProvider,
        CredentialResolver,
        DeferredRefreshableCredentials,
    )
    from botocore.exceptions import NoCredentialsError
    from botocore.session import Session as BotocoreSession

    class RoleProvider(CredentialProvider):
        METHOD = "assume-role"
        CANONICAL_NAME = "keytrail"

        def load(self) -> DeferredRefreshableCredentials:
            credentials = source.get_credentials()
            if credentials is None:
                raise NoCredentialsError()
            # STS answers for every region; one is needed to sign the request.
            region = settings.region or source.get_config_variable("region") or "us-east-1"
            name = {"ExternalId": settings.external_id} if settings.external_id else {}
            fetcher = AssumeRoleCredentialFetcher(
                client_creator=partial(
                    source.create_client,
                    region_name=region,
                    endpoint_url=settings.endpoint_url or None,
                    config=_config(settings),
                ),
                source_credentials=credentials,
                role_arn=settings.role_arn,
                extra_args={"RoleSessionName": _ROLE_SESSION_NAME, **name},
            )
            return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    session = _sharing(BotocoreSession(profile=settings.profile or None))
    session.register_component("credential_provider", CredentialResolver([RoleProvider()]))
    return session


def _config(settings: AwsSettings) -> Config:
    from botocore.config import Config

    return Config(
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.read_timeout_seconds,
        retries={"mode": settings.retry_mode, "total_max_attempts": max(1, settings.max_attempts)},
        max_pool_connections=_POOLED_CONNECTIONS,
        user_agent_extra="keytrail",
    )
