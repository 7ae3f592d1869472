"""AWS: clients made from settings, and botocore's errors said in keytrail's words. boto3 is imported on first use."""

from keytrail.aws.failures import explained, is_fatal, source_error
from keytrail.aws.sessions import AwsSettings, client, forget, session_region

__all__ = ["AwsSettings", "client", "explained", "forget", "is_fatal", "session_region", "source_error"]
