"""botocore's errors become messages that say what happened and what to do, and never a secret."""

from __future__ import annotations

import pickle

import pytest
from botocore import exceptions as b
from hypothesis import given
from hypothesis import strategies as st

from keytrail.aws import AwsSettings, client, explained, is_fatal, source_error
from keytrail.errors import SourceError


def answer(code: str, message: str = "", operation: str = "ListObjectsV2") -> b.ClientError:
    return b.ClientError({"Error": {"Code": code, "Message": message}}, operation)


URL = "https://user:hunter2@s3.example.com:8443/bucket?X-Amz-Signature=abc"

CASES = [
    (answer("AccessDenied", "Access Denied"), "AWS denies s3:ListBucket on s3://b/p", "allow s3:ListBucket"),
    (
        answer(
            "AccessDenied",
            "User: arn:aws:iam::1:user/x is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:k because",
        ),
        "AWS denies kms:Decrypt on arn:aws:kms:k",
        "allow kms:Decrypt",
    ),
    (answer("AccessDenied", "", "AssumeRole"), "AWS denies sts:AssumeRole", "allow sts:AssumeRole"),
    (answer("ExpiredToken"), "the AWS session has expired", "sign in again"),
    (answer("ExpiredTokenException"), "the AWS session has expired", "aws sso login"),
    (answer("InvalidAccessKeyId"), "AWS does not know the credentials", "get-caller-identity"),
    (answer("SignatureDoesNotMatch"), "the secret key does not fit", "check the credentials"),
    (answer("RequestTimeTooSkewed"), "the clock of this machine is off", "NTP"),
    (answer("NoSuchBucket"), "there is no bucket for s3://b/p", "check its name"),
    (answer("SlowDown"), "AWS keeps throttling s3:ListBucket on s3://b/p", "max_attempts"),
    (answer("ThrottlingException"), "AWS keeps throttling", "wait"),
    (answer("PermanentRedirect"), "s3://b/p lies in another region", "AWS_REGION"),
    (answer("InvalidObjectState"), "s3://b/p is archived", "restore"),
    (answer("SomethingNew", "who knows"), "AWS answered SomethingNew to s3:ListBucket on s3://b/p: who knows", ""),
    (b.NoCredentialsError(), "no AWS credentials found (s3:ListBucket on s3://b/p)", "AWS_PROFILE"),
    (b.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "AWS_SECRET_ACCESS_KEY", "aws sso"),
    (b.ProfileNotFound(profile="team"), "the AWS profile 'team'", "list-profiles"),
    (b.UnauthorizedSSOTokenError(), "sign-in session is missing or has expired", "aws sso login"),
    (b.NoRegionError(), "no AWS region is set", "AWS_REGION"),
    (
        b.CredentialRetrievalError(provider="custom-process", error_msg="password hunter2 refused"),
        "AWS credentials cannot be fetched (custom-process)",
        "",
    ),
    (b.EndpointConnectionError(endpoint_url=URL), "s3.example.com:8443 cannot be reached", "endpoint_url"),
    (b.ConnectTimeoutError(endpoint_url=URL), "s3.example.com:8443 did not answer in time", "connect_timeout_seconds"),
    (b.ReadTimeoutError(endpoint_url=URL), "did not answer in time", "read_timeout_seconds"),
    (b.SSLError(endpoint_url=URL, error="self-signed"), "no trusted TLS connection", "AWS_CA_BUNDLE"),
    (b.ProxyConnectionError(proxy_url="http://u:hunter2@proxy"), "the proxy cannot be reached", "HTTPS_PROXY"),
    (b.IncompleteReadError(actual_bytes=1, expected_bytes=2), "s3://b/p did not arrive whole", "scan again"),
    (b.ParamValidationError(report="no http://u:hunter2@h"), "ParamValidationError", ""),
]


@pytest.mark.parametrize(("error", "what", "advice"), CASES, ids=lambda value: str(value)[:40])
def test_an_error_says_what_happened_and_what_to_do(error: Exception, what: str, advice: str) -> None:
    said = source_error(error, action="s3:ListBucket", resource="s3://b/p")
    assert what in said.what
    assert advice in said.advice
    assert "hunter2" not in str(said)
    assert "Signature=" not in str(said)
    assert str(pickle.loads(pickle.dumps(said))) == str(said)


@given(st.text(max_size=600), st.text(alphabet="abcXYZ019/+", min_size=40, max_size=60))
def test_a_message_is_bounded_and_shows_nothing_like_a_secret(text: str, secret: str) -> None:
    said = source_error(answer("Odd", f"{secret} {text}"), action="s3:GetObject", resource="s3://b/k")
    assert secret not in said.what
    assert len(said.what) < 500


def test_only_what_concerns_one_object_leaves_the_others_readable() -> None:
    for code in ("NoSuchKey", "AccessDenied", "InvalidObjectState", "PreconditionFailed"):
        assert not is_fatal(answer(code))
    for error in (answer("ExpiredToken"), answer("NoSuchBucket"), answer("SlowDown"), b.NoCredentialsError()):
        assert is_fatal(error)


@pytest.mark.usefixtures("_credentials")
def test_an_endpoint_that_is_not_there() -> None:
    s3 = client("s3", AwsSettings(region="eu-west-1", endpoint_url="http://127.0.0.1:9", max_attempts=1))
    with (
        pytest.raises(SourceError, match=r"127\.0\.0\.1:9 cannot be reached"),
        explained(action="s3:ListBuckets", resource="the account"),
    ):
        s3.list_buckets()


def test_no_credentials() -> None:
    s3 = client("s3", AwsSettings(region="eu-west-1", endpoint_url="http://127.0.0.1:9"))
    with pytest.raises(SourceError, match="no AWS credentials found"), explained(action="s3:ListBuckets", resource="x"):
        s3.list_buckets()


def test_an_endpoint_that_is_no_url() -> None:
    with pytest.raises(SourceError, match="failed"):
        client("s3", AwsSettings(region="eu-west-1", endpoint_url="not a url"))


def test_no_region_is_set() -> None:
    with pytest.raises(SourceError, match="no AWS region is set for cloudtrail"):
        client("cloudtrail", AwsSettings())
