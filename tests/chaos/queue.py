"""A bucket whose objects are announced to a queue, on moto's server: each perhaps more than once."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.chaos.trail import Arrival

BUCKET = "trail"
QUEUE = "arrivals"
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AKIDTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Bucket:
    """moto's server in this process. A context manager."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)

    def __enter__(self) -> Bucket:
        import boto3

        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        session = boto3.Session(
            aws_access_key_id=VARIABLES["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=VARIABLES["AWS_SECRET_ACCESS_KEY"],
            region_name=VARIABLES["AWS_DEFAULT_REGION"],
        )
        self._s3: Any = session.client("s3", endpoint_url=self.endpoint)
        self._sqs: Any = session.client("sqs", endpoint_url=self.endpoint)
        self._s3.create_bucket(Bucket=BUCKET)
        self._url = self._sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def put(self, one: Arrival, chance: random.Random) -> None:
        """Put an object, and announce it once or more often."""
        key = f"AWSLogs/{one.name}"
        tag = self._s3.put_object(Bucket=BUCKET, Key=key, Body=one.data)["ETag"].strip('"')
        about = {"key": key, "size": len(one.data), "eTag": tag}
        told = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": BUCKET}}}
        told["s3"]["object"] = about  # type: ignore[index]
        for _ in range(chance.choice((1, 1, 2))):
            self._sqs.send_message(QueueUrl=self._url, MessageBody=json.dumps({"Records": [told]}))

    def redeliver(self) -> None:
        """Let everything that is under way come again now: as if whoever received it had been silent for too long."""
        from moto.sqs.models import sqs_backends

        for account in sqs_backends.values():
            for backend in account.values():
                for queue in backend.queues.values():
                    for message in list(queue._messages):
                        message.visible_at = 0.0

    def waiting(self) -> int:
        """Messages that are not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)
