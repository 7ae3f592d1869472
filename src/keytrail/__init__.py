"""keytrail: who gained which power over a KMS key, read from CloudTrail."""

__version__ = "0.1.0"
