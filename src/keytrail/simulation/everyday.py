"""The first chapter: keys are made and used, policies change for good reasons and by honest mistakes."""

from __future__ import annotations

import json
from urllib.parse import quote

from keytrail.simulation.cast import Keys, People
from keytrail.simulation.organisation import (
    ANALYTICS,
    DEVELOPMENT,
    FORMER_PARTNER,
    ORGANISATION,
    PARTNER,
    PAYMENTS,
    PLATFORM,
    Site,
    access_key,
    long_date,
)
from keytrail.simulation.policies import (
    READ,
    USE,
    Json,
    added,
    allow,
    delegation,
    document,
    reordered,
    root,
    statements_of,
    team,
)
from keytrail.simulation.story import Gain, Persona, Teller

BUCKET = "example-payments-ledger"

# Encryption contexts of the payments key and the services that send them.
PAYMENTS_DATA: tuple[tuple[dict[str, str], str], ...] = (
    *(
        ({"aws:s3:arn": f"arn:aws:s3:::{BUCKET}/{path}"}, "s3.amazonaws.com")
        for path in ("2026/02/closing.parquet", "2026/03/cards.parquet", "2026/03/refunds.parquet", "keys/export.pem")
    ),
    (
        {
            "SecretARN": f"arn:aws:secretsmanager:eu-central-1:{PAYMENTS}:secret:prod/payments/database-a1B2c3",
            "SecretVersionId": "5f1c7a52-3a4e-4be5-9d37-6a1f5f9a0c11",
        },
        "secretsmanager.amazonaws.com",
    ),
    (
        {
            "SecretARN": f"arn:aws:secretsmanager:eu-central-1:{PAYMENTS}:secret:prod/payments/psp-token-Qw3rTy",
            "SecretVersionId": "b2d6f0d4-74f7-4f0c-8f0e-0d6a2c9b7e22",
        },
        "secretsmanager.amazonaws.com",
    ),
    ({"PARAMETER_ARN": f"arn:aws:ssm:eu-central-1:{PAYMENTS}:parameter/payments/api-key"}, "AWS Internal"),
    ({"aws:dynamodb:tableName": "payments-v2", "aws:dynamodb:subscriberId": PAYMENTS}, "dynamodb.amazonaws.com"),
    ({"aws:sqs:arn": f"arn:aws:sqs:eu-central-1:{PAYMENTS}:payments-events"}, "sqs.amazonaws.com"),
)
VOLUME: dict[str, str] = {"aws:ebs:id": "vol-0a91f3c5d7e52b114"}
DATABASE: dict[str, str] = {"aws:rds:db-id": "db-EXAMPLEPAYMENTSDB2026"}
WAREHOUSE_DATA: tuple[tuple[dict[str, str], str], ...] = (
    ({"aws:s3:arn": "arn:aws:s3:::example-warehouse/customers/part-0001.parquet"}, "s3.amazonaws.com"),
    ({"aws:s3:arn": "arn:aws:s3:::example-warehouse/customers/part-0002.parquet"}, "s3.amazonaws.com"),
    (
        {"aws:redshift:arn": f"arn:aws:redshift:us-east-1:{ANALYTICS}:cluster:warehouse"},
        "redshift.amazonaws.com",
    ),
)
EXCHANGE_DATA: dict[str, str] = {"aws:s3:arn": "arn:aws:s3:::example-partner-exchange/outbox/batch.csv"}
LEDGER_DATA: dict[str, str] = {"aws:dynamodb:tableName": "ledger-global", "aws:dynamodb:subscriberId": PAYMENTS}


def set_up(teller: Teller, keys: Keys, people: People) -> None:
    """Day 0: the platform team makes the keys."""
    step, who = "set-up", people.admin_payments
    role = who.principal
    payments = team(PAYMENTS, role, people.payments_api.principal)
    teller.create_key(
        step, "key for the payments data", teller.at(0, "08:02:11"), keys.data, who, payments,
        description="Payments data", tags={"data-class": "confidential", "owner": "payments"},
    )  # fmt: skip
    ledger = team(PAYMENTS, role, people.ledger_writer.principal)
    teller.create_key(step, "multi-Region key", teller.at(0, "08:10:40"), keys.ledger, who, ledger)
    teller.replicate(
        step, "replica with the policy of its primary", teller.at(0, "08:15:02"), keys.ledger, keys.ledger_eu, who,
        ledger,
    )  # fmt: skip
    for key, clock, what in (
        (keys.backups, "08:22:19", "key for backups, default policy"),
        (keys.archive, "08:24:50", "key for the archive, default policy"),
    ):
        teller.create_key(step, what, teller.at(0, clock), key, who)
    teller.create_key(step, "key for imported material", teller.at(0, "08:31:07"), keys.hsm, who, origin="EXTERNAL")
    teller.tell(
        step, "key material is imported", teller.at(0, "08:36:44"), keys.hsm.site, "kms:ImportKeyMaterial", who,
        key=keys.hsm,
        request={"keyId": keys.hsm.key_id, "expirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
    )  # fmt: skip
    warehouse = team(ANALYTICS, people.admin_analytics.principal, people.warehouse_job.principal)
    teller.create_key(
        step, "key for the warehouse", teller.at(0, "09:01:30"), keys.warehouse, people.admin_analytics, warehouse
    )
    teller.create_key(
        step, "key for monthly reports", teller.at(0, "09:06:12"), keys.reports, people.admin_analytics,
        team(ANALYTICS, people.admin_analytics.principal, people.warehouse_job.principal),
    )  # fmt: skip
    teller.create_key(
        step, "key for the exchange with partners", teller.at(0, "09:15:27"), keys.exchange, people.admin_platform,
        team(PLATFORM, people.admin_platform.principal, people.exchange_job.principal),
    )  # fmt: skip
    member = {"StringEquals": {"aws:PrincipalOrgID": ORGANISATION}}
    teller.create_key(
        step, "key for every account of the organisation", teller.at(0, "09:20:03"), keys.shared,
        people.admin_platform, document(delegation(PLATFORM), allow("Members", "*", READ, member)),
        gained=(Gain("*", READ, "accounts of the organisation"),),
    )  # fmt: skip
    teller.create_key(step, "key for the vault", teller.at(0, "09:24:38"), keys.vault, people.admin_platform)
    teller.create_key(step, "a developer's key", teller.at(0, "10:41:09"), keys.sandbox, people.deploy_development)
    for number, key in enumerate((keys.data, keys.warehouse, keys.exchange)):
        owner = (who, people.admin_analytics, people.admin_platform)[number]
        teller.tell(
            step, "yearly rotation is switched on", teller.at(0, f"11:0{number}:15"), key.site,
            "kms:EnableKeyRotation", owner, key=key, request={"keyId": key.key_id},
        )  # fmt: skip
    for context, service, clock in (
        (DATABASE, "rds.amazonaws.com", "11:20:08"),
        (VOLUME, "ec2.amazonaws.com", "11:24:51"),
    ):
        teller.tell(
            step, "a service takes a grant for its own use", teller.at(0, clock), keys.data.site, "kms:CreateGrant",
            people.payments_api, key=keys.data, context=context, invoked_by=service,
            request={
                "keyId": keys.data.arn, "granteePrincipal": service.replace(".", ".eu-central-1.", 1),
                "retiringPrincipal": service.replace(".", ".eu-central-1.", 1),
                "operations": ["Decrypt", "GenerateDataKeyWithoutPlaintext", "RetireGrant"],
                "constraints": {"encryptionContextSubset": dict(context)},
            },
            response={"grantId": teller.chance.hex(64), "keyId": keys.data.arn},
        )  # fmt: skip


def everyday_use(teller: Teller, keys: Keys, people: People) -> None:
    """Days 0 to 6: applications read and write what the keys protect."""
    for day in range(7):
        for number, (context, service) in enumerate(PAYMENTS_DATA):
            who = people.payments_batch if day > 1 and number % 3 == 0 else people.payments_api
            name = "GenerateDataKey" if (day + number) % 4 == 0 else "Decrypt"
            moment = teller.at(day, f"{12 + number:02d}:{teller.chance.below(60):02d}:{teller.chance.below(60):02d}")
            teller.use("everyday-use", "payments data", moment, keys.data, who, context, name=name, service=service)
        for number, (context, service) in enumerate(WAREHOUSE_DATA):
            moment = teller.at(day, f"{10 + 3 * number}:{teller.chance.below(60):02d}:{teller.chance.below(60):02d}")
            teller.use(
                "everyday-use", "warehouse data", moment, keys.warehouse, people.warehouse_job, context,
                service=service,
            )  # fmt: skip
        teller.use(
            "everyday-use", "the ledger's table", teller.at(day, "13:30:00") + teller.chance.below(1800), keys.ledger,
            people.ledger_writer, LEDGER_DATA, name="GenerateDataKey", service="dynamodb.amazonaws.com",
        )  # fmt: skip
        teller.use(
            "everyday-use", "the partner's outbox", teller.at(day, "15:00:00") + teller.chance.below(1800),
            keys.exchange, people.exchange_job, EXCHANGE_DATA, name="GenerateDataKey", service="s3.amazonaws.com",
        )  # fmt: skip
        if day < 5:
            teller.tell(
                "everyday-use", "the reporting user at its usual place", teller.at(day, f"06:0{day}:10"),
                Site(PAYMENTS, "eu-central-1"), "sts:GetCallerIdentity", people.reporting, read_only=True,
            )  # fmt: skip
    for day in (0, 2, 4):
        teller.use(
            "everyday-use", "backups are written", teller.at(day, "13:12:09"), keys.backups, people.ledger_writer,
            {"aws:s3:arn": f"arn:aws:s3:::example-backups/{day}/full.tar"}, name="GenerateDataKey",
            service="s3.amazonaws.com",
        )  # fmt: skip
        teller.use(
            "everyday-use", "reports are read", teller.at(day, "14:45:31"), keys.reports, people.warehouse_job,
            {"aws:s3:arn": "arn:aws:s3:::example-monthly-reports/2026-02.pdf"}, service="s3.amazonaws.com",
        )  # fmt: skip


def honest_changes(teller: Teller, keys: Keys, people: People) -> None:
    """Days 1 to 3: policies change, each for a reason; two of the changes are mistakes."""
    admin, platform = people.admin_payments, people.admin_platform
    batch = people.payments_batch.principal
    _make_role(teller, people, batch)
    teller.put_policy(
        "new-role", "a second role of the same account may use the key", teller.at(1, "09:12:44"), keys.data,
        people.deploy_payments, team(PAYMENTS, admin.principal, people.payments_api.principal, batch),
        gained=(Gain(batch, USE),), compact=True,
    )  # fmt: skip
    teller.put_policy(
        "reordering", "the same statements in another order", teller.at(1, "10:30:02"), keys.exchange, platform,
        reordered(teller.policy_of(keys.exchange)),
    )  # fmt: skip
    teller.put_policy(
        "service-change", "a service sets the policy of its vault's key", teller.at(1, "11:02:30"), keys.vault,
        Persona({"type": "AWSService", "invokedBy": "backup.amazonaws.com"}, "backup.amazonaws.com",
                "backup.amazonaws.com", "backup.amazonaws.com"),
        document(delegation(PLATFORM), {
            "Sid": "Backup", "Effect": "Allow", "Principal": {"Service": "backup.amazonaws.com"},
            "Action": list(READ), "Resource": "*", "Condition": {"StringEquals": {"aws:SourceAccount": PLATFORM}},
        }),
        gained=(Gain("backup.amazonaws.com", READ),),
    )  # fmt: skip
    teller.put_policy(
        "approved-onboarding", "an approved partner's account is let in", teller.at(2, "14:30:16"), keys.exchange,
        platform, added(teller.policy_of(keys.exchange), allow("Partner", root(PARTNER), READ)),
        gained=(Gain(root(PARTNER), READ),),
    )  # fmt: skip
    for day, clock in ((2, "15:40:03"), (3, "09:10:55"), (4, "09:11:20"), (5, "09:09:48"), (6, "09:12:01")):
        teller.use(
            "approved-onboarding", "the partner reads its outbox", teller.at(day, clock), keys.exchange,
            people.partner, EXCHANGE_DATA,
        )  # fmt: skip
    hole = {"StringEqualsIfExists": {"aws:PrincipalOrgID": ORGANISATION}}
    teller.put_policy(
        "org-boundary-lost", "IfExists lets in whoever has no organisation at all", teller.at(2, "16:20:37"),
        keys.shared, people.engineer, document(delegation(PLATFORM), allow("Members", "*", READ, hole)),
        gained=(Gain("*", READ, "callers without any organisation"),),
    )  # fmt: skip
    teller.put_policy(
        "expired-approval", "a partner whose approval has expired is let in", teller.at(3, "10:05:29"), keys.reports,
        people.admin_analytics,
        added(teller.policy_of(keys.reports), allow("Former partner", root(FORMER_PARTNER), READ)),
        gained=(Gain(root(FORMER_PARTNER), READ),),
    )  # fmt: skip
    teller.use(
        "expired-approval", "the former partner reads a report", teller.at(3, "11:48:13"), keys.reports,
        people.former_partner, {"aws:s3:arn": "arn:aws:s3:::example-monthly-reports/2026-02.pdf"},
    )  # fmt: skip
    history = document(delegation(DEVELOPMENT), allow("Search", f"arn:aws:iam::{DEVELOPMENT}:role/search-indexer", USE))
    teller.put_policy(
        "history-missing", "the key is older than the archive: nothing is known of the policy before",
        teller.at(3, "13:44:08"), keys.search, people.deploy_development, history, compact=True,
    )  # fmt: skip
    teller.put_policy(
        "parameters-omitted", "the parameters were too large to be logged", teller.at(3, "13:59:41"), keys.search,
        people.deploy_development, history, omitted=True,
    )  # fmt: skip
    teller.put_policy(
        "after-omission", "the policy before was omitted from its record", teller.at(3, "15:02:13"), keys.search,
        people.deploy_development, {**history, "Statement": statements_of(history)[:1]}, compact=True,
    )  # fmt: skip
    malformed: Json = document(
        delegation(DEVELOPMENT), allow("Typing", f"arn:aws:iam::{DEVELOPMENT}:role/nobody", READ)
    )
    teller.put_policy(
        "typing-error", "a policy that AWS refuses as malformed", teller.at(3, "15:10:30"), keys.sandbox,
        people.deploy_development, malformed,
        error=("MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals."),
    )  # fmt: skip
    teller.tell(
        "ordinary-deletion", "a developer's key is no longer needed", teller.at(3, "16:22:50"), keys.sandbox.site,
        "kms:ScheduleKeyDeletion", people.deploy_development, key=keys.sandbox,
        request={"keyId": keys.sandbox.key_id, "pendingWindowInDays": 30},
        response={
            "keyId": keys.sandbox.arn, "keyState": "PendingDeletion", "pendingWindowInDays": 30,
            "deletionDate": long_date(teller.at(33, "16:22:50")),
        },
    )  # fmt: skip


def _make_role(teller: Teller, people: People, arn: str) -> None:
    """Plant the making of the batch role, before the key is opened to it, and its first session after."""
    step, who, world = "new-role", people.deploy_payments, Site(PAYMENTS, "us-east-1")
    name = arn.rpartition("/")[2]
    role_id = str(people.payments_batch.identity["principalId"]).partition(":")[0]
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]}  # fmt: skip
    moment = teller.at(1, "09:05:12")
    teller.tell(
        step, "a role for batch work is made", moment, world, "iam:CreateRole", who,
        request={"roleName": name, "path": "/", "assumeRolePolicyDocument": json.dumps(trust)},
        response={
            "role": {
                "path": "/", "roleName": name, "roleId": role_id, "arn": arn, "createDate": long_date(moment),
                "assumeRolePolicyDocument": quote(json.dumps(trust)),
            }
        },
    )  # fmt: skip
    teller.tell(
        step, "a policy is attached to the role", moment + 31, world, "iam:AttachRolePolicy", who,
        request={"roleName": name, "policyArn": "arn:aws:iam::aws:policy/AmazonSQSFullAccess"},
    )  # fmt: skip
    first = teller.at(1, "11:58:40")
    session = str(people.payments_batch.identity["arn"]).rpartition("/")[2]
    teller.tell(
        step, "a host takes on the role", first, Site(PAYMENTS, "eu-central-1"), "sts:AssumeRole",
        Persona({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, "ec2.amazonaws.com", "ec2.amazonaws.com",
                "ec2.amazonaws.com"),
        read_only=True, shared=True, request={"roleArn": arn, "roleSessionName": session},
        response={
            "credentials": {
                "accessKeyId": access_key(teller.chance, temporary=True),
                "sessionToken": "IQoJb3JpZ2luX2Vj" + teller.chance.mixed(120) + "EXAMPLE=",
                "expiration": long_date(first + 21600),
            }
        },
        resources=[{"accountId": PAYMENTS, "type": "AWS::IAM::Role", "ARN": arn}],
    )  # fmt: skip
