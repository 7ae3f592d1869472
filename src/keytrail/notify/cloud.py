"""AWS's errors, said as DeliveryError: whether it is worth another time, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from keytrail.aws import source_error
from keytrail.aws.failures import THROTTLED, error_code
from keytrail.errors import SourceError
from keytrail.notify.model import DeliveryError
from keytrail.notify.safe import inert
from keytrail.notify.web import retry_after

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_TRANSIENT = frozenset({"InternalException", "InternalFailure", "InternalError", "ServiceUnavailable", "KMSThrottling"})


@contextmanager
def delivering(*, action: str, resource: str) -> Iterator[None]:
    """Turn an error of AWS raised inside into a DeliveryError."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except SourceError as error:  # there is no client: a profile, a region, a role
        raise DeliveryError(error.what, retry=True, advice=error.advice) from None
    except ParamValidationError as error:
        raise DeliveryError(f"{action} on {resource}: {inert(str(error))}", retry=False) from None
    except ResponseParserError:
        what = f"what answered {action} on {resource} is not AWS"
        raise DeliveryError(what, retry=True, advice="Check the network, proxies and [aws] endpoint_url.") from None
    except (BotoCoreError, ClientError) as error:
        told = source_error(error, action=action, resource=resource)
        retry, pause = True, None
        if isinstance(error, ClientError):
            metadata = error.response.get("ResponseMetadata", {})
            status = metadata.get("HTTPStatusCode", 0)
            retry = is_transient(error_code(error)) or status == 429 or status >= 500
            headers = {name.title(): value for name, value in metadata.get("HTTPHeaders", {}).items()}
            pause = retry_after(headers) if retry else None
        raise DeliveryError(told.what, retry=retry, after_seconds=pause, advice=told.advice) from None


def is_transient(code: str) -> bool:
    """Whether an error code of AWS may be gone another time."""
    return code in THROTTLED or code in _EXPIRED or code in _TRANSIENT or "Throttl" in code


def refused(resource: str, code: str, message: str, *, retry: bool | None = None) -> DeliveryError:
    """What AWS says of one entry of a batch that it did not take."""
    again = is_transient(code) if retry is None else retry
    advice = "It is tried again." if again else "Check the settings of this sink, and what its identity may do."
    return DeliveryError(f"{resource}: {inert(code, 80)}: {inert(message)}", retry=again, advice=advice)
