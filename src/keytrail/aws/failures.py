"""botocore's errors, said as SourceError: what happened, to which action and resource, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from keytrail.errors import SourceError

# Error codes of AWS services; the same trouble has a different name in nearly each of them.
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled", "403"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN_KEY = {
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidToken",
    "AuthFailure",
    "NotSignedUp",
    "OptInRequired",
}
_BAD_SIGNATURE = {"SignatureDoesNotMatch", "InvalidSignatureException"}
_CLOCK = {"RequestTimeTooSkewed", "RequestInTheFuture"}
THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
    "RequestThrottledException",
}
_NO_BUCKET = {"NoSuchBucket"}
_NO_KEY = {"NoSuchKey", "404"}
_ARCHIVED = {"InvalidObjectState"}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
# These concern one object, not the way to all of them.
_OF_ONE_OBJECT = {
    *_NO_KEY,
    *_ARCHIVED,
    *DENIED,
    "PreconditionFailed",
    "412",
    "InvalidRange",
    "416",
    "KMS.DisabledException",
}

_LOG_IN = (
    "run `aws sso login`, set AWS_PROFILE, or name a profile in keytrail.toml ([aws] profile); "
    "`aws sts get-caller-identity` shows what is in use"
)
_DENIED_ACTION = re.compile(r"not authorized to perform: ([\w:*-]+)(?: on resource: \"?([^\s\"]+))?")
_USER_INFO = re.compile(r"(//)[^/@\s]+@")
_LIKE_A_KEY = re.compile(r"[A-Za-z0-9/+=]{40,}")
_MESSAGE_LENGTH = 400


@contextmanager
def explained(*, action: str, resource: str) -> Iterator[None]:
    """Turn an error of botocore raised inside into the SourceError that `source_error` makes of it."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError  # which is none of the two

    try:
        yield
    except ResponseParserError as error:
        raise not_whole(action, resource) from error
    except (BotoCoreError, ClientError) as error:
        raise source_error(error, action=action, resource=resource) from error


def not_whole(action: str, resource: str) -> SourceError:
    """The error of an answer that was cut, or that something else than AWS gave."""
    return SourceError(
        f"the answer to {action} on {resource} did not arrive whole",
        advice="it may have come from something between here and AWS: check the network, proxies and portals",
    )


def error_code(error: BaseException) -> str:
    """Return the code that the service gave (`AccessDenied`), "" when the error is not an answer of a service.

    Of a SourceError it is that of the error that it explains.
    """
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if not isinstance(response, dict):
        return ""
    details = response.get("Error")
    return str(details.get("Code", "")) if isinstance(details, dict) else ""


def is_fatal(error: BaseException) -> bool:
    """Return whether an error met while reading one object would meet every other object as well."""
    return error_code(error) not in _OF_ONE_OBJECT


def source_error(error: Exception, *, action: str, resource: str) -> SourceError:
    """Return the SourceError that tells what `error` of botocore means.

    `action` is the IAM action that was under way (`s3:ListBucket`), `resource` what it was for (`s3://bucket/prefix`).
    Nothing secret enters the text: of an answer only code and message are used, of an endpoint only the host.
    """
    code = error_code(error)
    what, advice = _of_answer(error, code, action, resource) if code else _of_client(error, action, resource)
    return SourceError(what, advice=advice)


def _of_answer(error: Exception, code: str, action: str, resource: str) -> tuple[str, str]:
    """The service answered, with an error."""
    message = _message(error)
    said = f": {message}" if message else ""
    if code in DENIED:
        # The answer may name another action than the one called, such as kms:Decrypt for a GetObject.
        if getattr(error, "operation_name", "") == "AssumeRole":
            action = "sts:AssumeRole"
        named = _DENIED_ACTION.search(message)
        needed, on = (named[1], named[2] or resource) if named else (action, resource)
        return (
            f"AWS denies {needed} on {on}{said}",
            f"allow {needed} on it for the identity in use (`aws sts get-caller-identity` shows it); a bucket policy, "
            "a key policy or an organization's policy can deny it too",
        )
    if code in _EXPIRED:
        return f"the AWS session has expired ({action} on {resource})", f"sign in again: {_LOG_IN}"
    if code in _UNKNOWN_KEY:
        return (
            f"AWS does not know the credentials in use ({code}, {action} on {resource})",
            f"they may be revoked, or the region is not enabled for the account: {_LOG_IN}",
        )
    if code in _BAD_SIGNATURE:
        return (
            f"the secret key does not fit its access key ({action} on {resource})",
            f"check the credentials: {_LOG_IN}",
        )
    if code in _CLOCK:
        return (
            f"the clock of this machine is off: AWS refused the time of the request ({action})",
            "set the clock (NTP)",
        )
    if code in THROTTLED or code == "503":
        return (
            f"AWS keeps throttling {action} on {resource}",
            "wait a little, stop what else calls the same API in this account, or allow more attempts "
            "([aws] max_attempts in keytrail.toml)",
        )
    if code in _NO_BUCKET:
        return f"there is no bucket for {resource}", "check its name and the account or endpoint (`aws s3 ls`)"
    if code in _NO_KEY:
        return f"{resource} does not exist", "it may have been deleted, by a lifecycle rule for example"
    if code in _ARCHIVED:
        return f"{resource} is archived (Glacier) and cannot be read", "restore it first (`aws s3api restore-object`)"
    if code in _WRONG_REGION:
        return f"{resource} lies in another region{said}", "name its region ([aws] region in keytrail.toml, AWS_REGION)"
    if code in {"PreconditionFailed", "412"}:
        return f"{resource} was replaced while it was read", "scan again"
    return f"AWS answered {code} to {action} on {resource}{said}", ""


def _of_client(error: Exception, action: str, resource: str) -> tuple[str, str]:
    """No answer of a service: credentials, configuration or the network."""
    from botocore import exceptions as b

    match error:
        case b.ProfileNotFound():
            return (
                f"the AWS profile {error.kwargs.get('profile', '')!r} is not in the AWS configuration of this machine",
                "`aws configure list-profiles` lists those there are",
            )
        case b.NoCredentialsError() | b.NoAuthTokenError():
            return f"no AWS credentials found ({action} on {resource})", _LOG_IN
        case b.PartialCredentialsError():
            return (
                f"the AWS credentials are incomplete: {error.kwargs.get('cred_var', 'a part')} is missing",
                _LOG_IN,
            )
        case b.SSOError() | b.TokenRetrievalError() | b.LoginError():
            return (
                "the AWS sign-in session is missing or has expired",
                "sign in again: `aws sso login` (or `aws login`)",
            )
        case b.CredentialRetrievalError() | b.MetadataRetrievalError() | b.RefreshWithMFAUnsupportedError():
            # What a credential process wrote may hold a secret, so only the provider is named.
            return f"AWS credentials cannot be fetched ({error.kwargs.get('provider', type(error).__name__)})", _LOG_IN
        case b.NoRegionError():
            return (
                f"no AWS region is set for {action}",
                "name one: AWS_REGION, [aws] region in keytrail.toml, or aws://eu-west-1",
            )
        case b.SSLError():
            return (
                f"no trusted TLS connection to {_host(error) or resource}",
                "check the endpoint; for a private certificate authority set AWS_CA_BUNDLE",
            )
        case b.ProxyConnectionError():
            return f"the proxy cannot be reached ({action} on {resource})", "check HTTPS_PROXY and NO_PROXY"
        case b.ConnectTimeoutError() | b.ReadTimeoutError():
            return (
                f"{_host(error) or resource} did not answer in time ({action})",
                "check the network; [aws] connect_timeout_seconds and read_timeout_seconds give it longer",
            )
        case b.HTTPClientError() | b.ConnectionError():
            return (
                f"{_host(error) or resource} cannot be reached ({action})",
                "check the network, the region and [aws] endpoint_url",
            )
        case b.PaginationError():
            return (
                f"the list of {action} on {resource} does not end",
                "try again; what answers as AWS may be something between here and AWS",
            )
        case b.IncompleteReadError() | b.FlexibleChecksumError() | b.ChecksumError():
            return f"{resource} did not arrive whole ({type(error).__name__})", "scan again"
    return f"{action} on {resource} failed: {type(error).__name__}: {_clean(str(error))}", ""


def _host(error: Exception) -> str:
    """The host of the URL an error was about; never its user, password or query."""
    from urllib.parse import urlsplit

    kwargs = getattr(error, "kwargs", {})
    try:
        parts = urlsplit(str(kwargs.get("endpoint_url") or ""))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    return f"{host}:{port}" if host and port else host


def _message(error: Exception) -> str:
    return _clean(str(error.response.get("Error", {}).get("Message", "") or ""))  # type: ignore[attr-defined]


def _clean(text: str) -> str:
    """Without what could be a secret: user and password of a URL, and what looks like a key, which an ARN may too."""
    words = _USER_INFO.sub(r"\1", text).split(" ")
    return " ".join(word if "arn:" in word else _LIKE_A_KEY.sub("…", word) for word in words)[:_MESSAGE_LENGTH]
