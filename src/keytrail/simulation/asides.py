"""Objects beside the events: digests that vouch for the log files of an hour, and an insight about the night."""

from __future__ import annotations

import hashlib
import json

from keytrail.simulation.attack import NIGHT
from keytrail.simulation.chance import Chance
from keytrail.simulation.organisation import ATTACKER, BUCKET, ORGANISATION, PAYMENTS, TRAIL, Site, iso

_HOME_REGION = "us-east-1"


class Digests:
    """Collects the log files of the last hour of each day in the trail's home region and makes their digests.

    CloudTrail writes one each hour for every account and region; one a day is enough to be recognised.
    """

    def __init__(self, start: int, chance: Chance) -> None:
        self._start = start
        self._chance = chance
        self._files: dict[Site, list[dict[str, object]]] = {}
        self._day = 0

    def see(self, site: Site, delivered: int, key: str, content: bytes) -> list[tuple[str, bytes]]:
        """Take note of a log file; returns the digests of the day before when a new day begins."""
        day, second = divmod(delivered - self._start, 86400)
        ready = self.close() if day != self._day else []
        self._day = day
        if site.region == _HOME_REGION and second >= 82800:
            self._files.setdefault(site, []).append(
                {
                    "s3Bucket": BUCKET,
                    "s3Object": key,
                    "hashValue": hashlib.sha256(content).hexdigest(),
                    "hashAlgorithm": "SHA-256",
                    "newestEventTime": iso(delivered - 60),
                    "oldestEventTime": iso(delivered - 420),
                }
            )
        return ready

    def close(self) -> list[tuple[str, bytes]]:
        """Return the digests of the day so far: (key, JSON)."""
        end = self._start + (self._day + 1) * 86400
        digests = [self._digest(site, files, end) for site, files in self._files.items()]
        self._files.clear()
        return digests

    def _digest(self, site: Site, files: list[dict[str, object]], end: int) -> tuple[str, bytes]:
        def key(moment: int) -> str:
            day, clock = iso(moment).split("T")
            return (
                f"AWSLogs/{ORGANISATION}/{site.account}/CloudTrail-Digest/{site.region}/{day.replace('-', '/')}/"
                f"{site.account}_CloudTrail-Digest_{site.region}_{TRAIL}_{_HOME_REGION}_"
                f"{day.replace('-', '')}T{clock.replace(':', '')}.json.gz"
            )

        content = {
            "awsAccountId": site.account,
            "digestStartTime": iso(end - 3600),
            "digestEndTime": iso(end),
            "digestS3Bucket": BUCKET,
            "digestS3Object": key(end),
            "digestPublicKeyFingerprint": self._chance.hex(32),
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": files[-1]["newestEventTime"],
            "oldestEventTime": files[0]["oldestEventTime"],
            "previousDigestS3Bucket": BUCKET,
            "previousDigestS3Object": key(end - 3600),
            "previousDigestHashValue": self._chance.hex(64),
            "previousDigestHashAlgorithm": "SHA-256",
            "previousDigestSignature": self._chance.hex(512),
            "logFiles": files,
        }
        return key(end), json.dumps(content, separators=(",", ":")).encode()


def insights(start: int, chance: Chance) -> list[tuple[Site, int, bytes]]:
    """Return the insight objects: (site, time of delivery, JSON): Decrypt calls become frequent, then rare again."""
    site = Site(PAYMENTS, "eu-central-1")
    shared = chance.uuid()
    found = []
    for state, minute in (("Start", 35), ("End", 50)):
        moment = start + NIGHT * 86400 + 22 * 3600 + minute * 60
        average = 1.6 if state == "Start" else 1.2
        record = {
            "eventVersion": "1.08",
            "eventTime": iso(moment),
            "awsRegion": site.region,
            "eventID": chance.uuid(),
            "eventType": "AwsCloudTrailInsight",
            "recipientAccountId": site.account,
            "sharedEventID": shared,
            "insightDetails": {
                "state": state,
                "eventSource": "kms.amazonaws.com",
                "eventName": "Decrypt",
                "insightType": "ApiCallRateInsight",
                "insightContext": {
                    "statistics": {
                        "baseline": {"average": 0.02},
                        "insight": {"average": average},
                        "insightDuration": 15,
                        "baselineDuration": 10080,
                    },
                    "attributions": [
                        {
                            "attribute": "userIdentityArn",
                            "insight": [{"value": f"AWSAccount {ATTACKER}", "average": average}],
                            "baseline": [],
                        }
                    ],
                },
            },
            "eventCategory": "Insight",
        }
        found.append((site, moment + 900, json.dumps({"Records": [record]}, separators=(",", ":")).encode()))
    return found
