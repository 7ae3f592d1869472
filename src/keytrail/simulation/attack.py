"""The second chapter: a stolen access key, keys opened to an outside account, and what the defenders did."""

from __future__ import annotations

from keytrail.simulation.cast import HOSTILE_AGENT, HOSTILE_OBJECT, HOSTILE_SID, Keys, People
from keytrail.simulation.everyday import BUCKET, PAYMENTS_DATA, VOLUME, WAREHOUSE_DATA
from keytrail.simulation.organisation import ANALYTICS, ATTACKER, PAYMENTS, TRAIL, Site, long_date
from keytrail.simulation.policies import ADMINISTER, USE, added, allow, document, root
from keytrail.simulation.story import Gain, Persona, Teller, key_resource

NIGHT = 4  # the day of the attack
OUTSIDE = root(ATTACKER)
OUTSIDE_ROLE = f"arn:aws:iam::{ATTACKER}:role/exfil-worker"
OUTSIDE_ACTIONS = ("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey")
_HOME = Site(PAYMENTS, "eu-central-1")
_GLOBAL = Site(PAYMENTS, "us-east-1")


def intrusion(teller: Teller, keys: Keys, people: People) -> Persona:
    """The stolen key is tried out, refused, and traded for a role; returns the attacker in that role."""
    thief = people.thief

    def look(clock: str, call: str, what: str, *, site: Site = _HOME, **more: object) -> None:
        request = more or None
        teller.tell("discovery", what, teller.at(NIGHT, clock), site, call, thief, read_only=True, request=request)

    teller.tell(
        "first-sign", "the stolen access key is tried from an address never seen before", teller.at(NIGHT, "22:04:11"),
        _HOME, "sts:GetCallerIdentity", thief, read_only=True,
    )  # fmt: skip
    look("22:05:02", "iam:ListUsers", "users are listed", site=_GLOBAL)
    look("22:05:09", "iam:ListAttachedUserPolicies", "own policies", site=_GLOBAL, userName="svc-reporting")
    look("22:05:31", "iam:ListRoles", "roles are listed", site=_GLOBAL)
    look("22:06:14", "s3:ListBuckets", "buckets are listed", Host="s3.eu-central-1.amazonaws.com")
    look("22:07:03", "secretsmanager:ListSecrets", "secrets are listed", maxResults=100)
    for clock, site in (("22:08:20", _HOME), ("22:08:41", _GLOBAL)):
        look(clock, "kms:ListKeys", "keys are listed", site=site, limit=1000)
        look(clock[:-2] + "55", "kms:ListAliases", "aliases are listed", site=site, limit=1000)
    for clock, call in (("22:10:12", "DescribeKey"), ("22:10:19", "GetKeyPolicy"), ("22:10:44", "ListGrants")):
        request = {"keyId": keys.data.key_id, **({"policyName": "default"} if call == "GetKeyPolicy" else {})}
        teller.tell(
            "discovery", "the key of the payments data is looked at", teller.at(NIGHT, clock), _HOME, f"kms:{call}",
            thief, read_only=True, request=dict(request), key=keys.data,
        )  # fmt: skip
    opened = added(teller.policy_of(keys.data), allow(HOSTILE_SID, OUTSIDE, OUTSIDE_ACTIONS))
    for clock in ("22:21:40", "22:22:08"):
        teller.put_policy(
            "refused-attempt", "the change that later succeeds is tried and refused", teller.at(NIGHT, clock),
            keys.data, thief, opened,
            error=_denied(thief.principal, "kms:PutKeyPolicy", keys.data.arn, "no resource-based policy allows"),
        )  # fmt: skip
    teller.tell(
        "refused-attempt", "more rights for itself, refused", teller.at(NIGHT, "22:23:30"), _GLOBAL,
        "iam:AttachUserPolicy", thief,
        error=_denied(
            thief.principal, "iam:AttachUserPolicy", "user svc-reporting", "no identity-based policy allows"
        ),
    )  # fmt: skip
    moment = teller.at(NIGHT, "22:26:05")
    keeper = teller.role(PAYMENTS, "KeyAdministrator", "svc-reporting", thief.address, thief.agent, created=moment)
    _assume("role-assumed", "the role that administers keys is assumed", teller, moment, _HOME, thief, keeper,
            seconds=14400)  # fmt: skip
    return keeper


def opening(teller: Teller, keys: Keys, people: People, keeper: Persona) -> None:
    """The payments key is opened to the outside account, data is read, and doors for later are made."""
    before = teller.policy_of(keys.data)
    teller.put_policy(
        "key-opened", "the payments key is opened to an outside account", teller.at(NIGHT, "22:27:30"), keys.data,
        keeper, added(before, allow(HOSTILE_SID, OUTSIDE, OUTSIDE_ACTIONS)), gained=(Gain(OUTSIDE, OUTSIDE_ACTIONS),),
    )  # fmt: skip
    teller.tell(
        "lasting-grant", "a grant that will survive the restoring of the policy", teller.at(NIGHT, "22:28:10"), _HOME,
        "kms:CreateGrant", keeper, key=keys.data,
        request={
            "keyId": keys.data.key_id, "granteePrincipal": OUTSIDE_ROLE, "retiringPrincipal": OUTSIDE,
            "operations": ["Decrypt", "GenerateDataKey", "CreateGrant", "DescribeKey"], "name": "nightly-sync",
        },
        response={"grantId": teller.chance.hex(64), "keyId": keys.data.arn},
    )  # fmt: skip
    user = f"arn:aws:iam::{PAYMENTS}:user/backup-agent2"
    for clock, call, request in (
        ("22:29:02", "CreateUser", {"userName": "backup-agent2"}),
        ("22:29:20", "CreateAccessKey", {"userName": "backup-agent2"}),
        ("22:29:41", "AttachUserPolicy",
         {"userName": "backup-agent2", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
    ):  # fmt: skip
        response = {
            "user": {"userName": "backup-agent2", "arn": user, "createDate": long_date(teller.at(NIGHT, clock))}
        }
        teller.tell(
            "lasting-user", "a user to come back with", teller.at(NIGHT, clock), _GLOBAL, f"iam:{call}", keeper,
            request=dict(request), response=dict(response) if call == "CreateUser" else None,
        )  # fmt: skip
    hostile = {"aws:s3:arn": f"arn:aws:s3:::{BUCKET}/{HOSTILE_OBJECT}"}
    contexts = [context for context, _ in PAYMENTS_DATA[:7]] * 2 + [hostile, VOLUME]
    for number, context in enumerate(contexts):
        teller.use(
            "data-read", "the outside account decrypts", teller.at(NIGHT, f"22:{31 + number}:{10 + 2 * number}"),
            keys.data, people.outsider, context,
        )  # fmt: skip
    teller.tell(
        "lasting-grant", "the outside account makes itself a second grant", teller.at(NIGHT, "22:48:33"), _HOME,
        "kms:CreateGrant", people.outsider, key=keys.data, shared=True,
        request={
            "keyId": keys.data.arn, "granteePrincipal": OUTSIDE_ROLE, "operations": ["Decrypt", "DescribeKey"],
        },
        response={"grantId": teller.chance.hex(64), "keyId": keys.data.arn},
    )  # fmt: skip
    teller.tell(
        "snapshot-shared", "a copy of a snapshot under the opened key", teller.at(NIGHT, "22:39:12"), _HOME,
        "ec2:CopySnapshot", keeper,
        request={
            "sourceRegion": "eu-central-1", "sourceSnapshotId": "snap-0a91f3c5d7e52b115", "encrypted": True,
            "kmsKeyId": keys.data.arn, "description": "nightly",
        },
        response={"requestId": teller.chance.uuid(), "snapshotId": "snap-0a91f3c5d7e52b116"},
    )  # fmt: skip
    teller.tell(
        "snapshot-shared", "the snapshot is shared with the outside account", teller.at(NIGHT, "22:41:40"), _HOME,
        "ec2:ModifySnapshotAttribute", keeper,
        request={
            "snapshotId": "snap-0a91f3c5d7e52b116", "attributeType": "CREATE_VOLUME_PERMISSION",
            "createVolumePermission": {"add": {"items": [{"userId": ATTACKER}]}},
        },
        response={"requestId": teller.chance.uuid(), "_return": True},
    )  # fmt: skip
    teller.tell(
        "snapshot-shared", "the outside account copies it", teller.at(NIGHT, "22:52:26"), _HOME,
        "ec2:SharedSnapshotCopyInitiated",
        Persona({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, "ec2.amazonaws.com", "ec2.amazonaws.com",
                "ec2.amazonaws.com"),
        event_type="AwsServiceEvent",
    )  # fmt: skip
    teller.create_key(
        "alias-moved", "a key of the attacker's own, open from the start", teller.at(NIGHT, "22:53:05"), keys.shadow,
        keeper, document(allow("Own", (keeper.principal, OUTSIDE), "kms:*"), policy_id="shadow"),
        gained=(Gain(OUTSIDE, ("kms:*",)),),
        tags={"note": "=2+5+cmd|' /C calc'!A0"},
    )  # fmt: skip
    _move_alias("alias-moved", "the payments alias now names the attacker's key", teller, NIGHT, "22:55:48",
                keys, keeper, to_shadow=True)  # fmt: skip


def takeover(teller: Teller, keys: Keys, people: People, keeper: Persona) -> None:
    """In another account the warehouse key is taken, used, and put back within minutes."""
    moment = teller.at(NIGHT, "23:10:00")
    robber = teller.role(
        ANALYTICS, "OrganizationKeyAdmin", "svc-reporting", keeper.address, HOSTILE_AGENT, created=moment
    )
    shared = teller.chance.uuid()
    for account in (PAYMENTS, ANALYTICS):
        caller = keeper
        if account == ANALYTICS:
            principal_id = str(keeper.identity["principalId"])
            caller = teller.outsider(PAYMENTS, principal_id, keeper.address, keeper.agent)
        site = Site(account, "us-east-1")
        _assume("cross-account", "a role in the analytics account is assumed", teller, moment, site, caller, robber,
                shared=shared)  # fmt: skip
    before = teller.policy_of(keys.warehouse)
    teller.put_policy(
        "takeover", "only the attacker and its account remain in the policy", teller.at(NIGHT, "23:12:20"),
        keys.warehouse, robber, document(allow(HOSTILE_SID, (robber.principal, OUTSIDE), "kms:*")),
        gained=(Gain(OUTSIDE, ("kms:*",)), Gain(robber.principal, ("kms:*",))),
        lost=(root(ANALYTICS), people.admin_analytics.principal, people.warehouse_job.principal),
    )  # fmt: skip
    for number in range(6):
        context = WAREHOUSE_DATA[number % 2][0]
        teller.use(
            "takeover", "the outside account decrypts", teller.at(NIGHT, f"23:{13 + number // 2}:{10 + 7 * number}"),
            keys.warehouse, people.outsider, context,
        )  # fmt: skip
    teller.put_policy(
        "reverted", "the policy is put back as it was", teller.at(NIGHT, "23:18:30"), keys.warehouse, robber, before,
        gained=(
            Gain(root(ANALYTICS), ("kms:*",)),
            Gain(people.admin_analytics.principal, ADMINISTER),
            Gain(people.warehouse_job.principal, USE),
        ),
        lost=(OUTSIDE, robber.principal),
    )  # fmt: skip


def destruction(teller: Teller, keys: Keys, keeper: Persona) -> None:
    """A replica with a policy of its own, then keys destroyed or locked, around midnight."""
    teller.replicate(
        "replica-diverges", "a replica whose policy is open to the outside account", teller.at(NIGHT, "23:31:15"),
        keys.ledger, keys.ledger_us, keeper,
        added(teller.policy_of(keys.ledger), allow("Replica", OUTSIDE, USE)), gained=(Gain(OUTSIDE, USE),),
    )  # fmt: skip
    for clock, call in (("23:40:21", "DeleteImportedKeyMaterial"), ("23:41:02", "DisableKey")):
        teller.tell(
            "key-destroyed", "imported key material is deleted, the key disabled", teller.at(NIGHT, clock),
            keys.hsm.site, f"kms:{call}", keeper, key=keys.hsm, request={"keyId": keys.hsm.key_id},
        )  # fmt: skip
    for clock, call in (("23:46:10", "StopLogging"), ("23:46:52", "PutEventSelectors")):
        teller.tell(
            "logging-attacked", "the trail resists", teller.at(NIGHT, clock), _GLOBAL, f"cloudtrail:{call}", keeper,
            error=_denied(
                str(keeper.identity["arn"]), f"cloudtrail:{call}", TRAIL, "a service control policy explicitly denies"
            ),
        )  # fmt: skip
    teller.put_policy(
        "locked-out", "the owner is shut out, the lock-out check bypassed; delivered after midnight",
        teller.at(NIGHT, "23:57:52"), keys.backups, keeper,
        document(allow("Ransom", OUTSIDE, "kms:*"), policy_id="pay"), gained=(Gain(OUTSIDE, ("kms:*",)),),
        lost=(root(PAYMENTS),), bypass=True, delay=660,
    )  # fmt: skip
    teller.tell(
        "deletion-scheduled", "a key is to be deleted after the shortest time", teller.at(NIGHT + 1, "00:03:37"),
        keys.archive.site, "kms:ScheduleKeyDeletion", keeper, key=keys.archive,
        request={"keyId": keys.archive.key_id, "pendingWindowInDays": 7},
        response={
            "keyId": keys.archive.arn, "keyState": "PendingDeletion", "pendingWindowInDays": 7,
            "deletionDate": long_date(teller.at(NIGHT + 8, "00:03:37")),
        },
    )  # fmt: skip


def response(teller: Teller, keys: Keys, people: People) -> None:
    """The next day: the defenders restore what they can; one grant is overlooked."""
    day, admin = NIGHT + 1, people.admin_payments
    restored = document(*_without_outside(teller, keys), policy_id="example-team-policy")
    teller.put_policy(
        "restored", "the platform team restores the policy of the payments key", teller.at(day, "08:40:19"),
        keys.data, admin, restored, lost=(OUTSIDE,),
    )  # fmt: skip
    _move_alias("restored", "the alias is moved back", teller, day, "08:44:50", keys, admin, to_shadow=False)
    teller.tell(
        "restored", "the deletion is cancelled", teller.at(day, "08:47:33"), keys.archive.site,
        "kms:CancelKeyDeletion", admin, key=keys.archive, request={"keyId": keys.archive.key_id},
        response={"keyId": keys.archive.arn},
    )  # fmt: skip
    teller.tell(
        "restored", "the stolen access key is switched off", teller.at(day, "08:50:06"), _GLOBAL,
        "iam:UpdateAccessKey", admin,
        request={
            "userName": "svc-reporting", "status": "Inactive", "accessKeyId": people.thief.identity["accessKeyId"]
        },
    )  # fmt: skip
    teller.put_policy(
        "owner-refused", "the owner cannot restore a key it is shut out of", teller.at(day, "09:20:41"), keys.backups,
        admin, document(allow("Owner", root(PAYMENTS), "kms:*")),
        error=_denied(
            str(admin.identity["arn"]), "kms:PutKeyPolicy", keys.backups.arn, "no resource-based policy allows"
        ),
    )  # fmt: skip
    for number in range(5):
        teller.use(
            "grant-used", "the outside account still decrypts, by the grant",
            teller.at(day + number // 3, f"{10 + number:02d}:05:{17 + number}"), keys.data, people.outsider,
            PAYMENTS_DATA[number][0],
        )  # fmt: skip


def _denied(arn: str, action: str, resource: str, reason: str) -> tuple[str, str]:
    """Return error code and message of a refusal as IAM words it."""
    call = f"{action} on resource: {resource}"
    return "AccessDenied", f"User: {arn} is not authorized to perform: {call} because {reason} the {action} action"


def _without_outside(teller: Teller, keys: Keys) -> list[dict[str, object]]:
    statements = teller.policy_of(keys.data)["Statement"]
    assert isinstance(statements, list)
    return [statement for statement in statements if statement["Sid"] != HOSTILE_SID]


def _assume(
    step: str, what: str, teller: Teller, moment: int, site: Site, caller: Persona, role: Persona,
    *, shared: str = "", seconds: int = 3600,
) -> None:  # fmt: skip
    """Plant the AssumeRole that gives `role` its session."""
    session = str(role.identity["arn"])
    account = str(role.identity["accountId"])
    teller.tell(
        step, what, moment, site, "sts:AssumeRole", caller, read_only=True, shared=shared,
        request={"roleArn": role.principal, "roleSessionName": session.rpartition("/")[2], "durationSeconds": seconds},
        response={
            "credentials": {
                "accessKeyId": role.identity["accessKeyId"],
                "sessionToken": "IQoJb3JpZ2luX2Vj" + teller.chance.mixed(120) + "EXAMPLE=",
                "expiration": long_date(moment + seconds),
            },
            "assumedRoleUser": {"assumedRoleId": role.identity["principalId"], "arn": session},
        },
        resources=[{"accountId": account, "type": "AWS::IAM::Role", "ARN": role.principal}],
    )  # fmt: skip


def _move_alias(
    step: str, what: str, teller: Teller, day: int, clock: str, keys: Keys, who: Persona, *, to_shadow: bool
) -> None:
    target = keys.shadow if to_shadow else keys.data
    teller.tell(
        step, what, teller.at(day, clock), _HOME, "kms:UpdateAlias", who, key=target,
        request={"aliasName": keys.data.alias, "targetKeyId": target.key_id},
        resources=[key_resource(target), key_resource(keys.data, keys.data.alias_arn)],
    )  # fmt: skip
