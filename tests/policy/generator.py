"""Random key policies that use every operator and kind of key, changes of them, and requests that can happen."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence

from keytrail.policy.catalogue import catalogue
from keytrail.policy.conditions import consulted
from keytrail.policy.context import can_carry
from keytrail.policy.model import KeyPolicy
from keytrail.policy.requests import Caller, CallerKind, Request

Json = dict[str, object]

OWNER = "111122223333"
ACCOUNTS = (OWNER, "444455556666", "777788889999")
PRINCIPALS: tuple[Json | str, ...] = (
    "*",
    {"AWS": "*"},
    {"AWS": OWNER},
    {"AWS": "444455556666"},
    {"AWS": [f"arn:aws:iam::{OWNER}:root", "arn:aws:iam::777788889999:root"]},
    {"AWS": f"arn:aws:iam::{OWNER}:role/App"},
    {"AWS": f"arn:aws:iam::{OWNER}:role/team/Ops"},
    {"AWS": f"arn:aws:iam::{OWNER}:user/bob"},
    {"AWS": f"arn:aws:sts::{OWNER}:assumed-role/App/s1"},
    {"AWS": [f"arn:aws:sts::{OWNER}:assumed-role/App/s1", OWNER, f"arn:aws:iam::{OWNER}:role/App"]},
    {"AWS": f"arn:aws:sts::{OWNER}:federated-user/fed"},
    {"AWS": "arn:aws:iam::444455556666:role/ETL"},
    {"AWS": ["arn:aws:iam::444455556666:role/ETL", "444455556666"]},
    {"Service": "cloudtrail.amazonaws.com"},
    {"Service": ["sns.amazonaws.com", "cloudtrail.amazonaws.com"], "AWS": f"arn:aws:iam::{OWNER}:role/App"},
    {"AWS": "AROAEXAMPLEEXAMPLE123"},
)
ACTIONS: tuple[str | list[str], ...] = (
    "kms:*",
    "kms:Decrypt",
    ["kms:Decrypt", "kms:GenerateDataKey"],
    "kms:Encrypt",
    "kms:*crypt*",
    "kms:CreateGrant",
    ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"],
    "kms:DescribeKey",
    "kms:PutKeyPolicy",
    ["kms:Put*", "kms:Get*"],
    "kms:ScheduleKeyDeletion",
    ["kms:TagResource", "kms:Decrypt"],
    "kms:Sign",
)
TEXTS = ("a", "b", "ab", "A", "a*", "*b", "a?", "*", "?*", "a*b*", "*a*b", "${aws:username}", "x-${aws:PrincipalTag/t}")
ARNS = (
    f"arn:aws:iam::{OWNER}:role/App",
    f"arn:aws:iam::{OWNER}:role/*",
    f"arn:aws:iam::{OWNER}:user/b*",
    f"arn:aws:iam::{OWNER}:root",
    "arn:aws:iam::*:role/App",
    "arn:aws:iam::4444*:role/*",
    f"arn:aws:iam::{OWNER}:role/team/*",
    "arn:aws:iam::444455556666:role/ETL",
    "arn:aws:iam::*:user/${aws:username}",
    f"arn:aws:iam::{OWNER}:role/${{aws:PrincipalTag/t}}",
    "arn:aws:iam::1*",
)
SOURCES = (
    f"arn:aws:cloudtrail:*:{OWNER}:trail/*",
    f"arn:aws:cloudtrail:us-east-1:{OWNER}:trail/t",
    "arn:aws:cloudtrail:*:*:trail/*",
    "arn:aws:s3:::data/*",
)
_STRING = (
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
)
_ARN = ("ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike")
_ORDERS = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
_NUMERIC = tuple(f"Numeric{name}" for name in _ORDERS)
_DATE = tuple(f"Date{name}" for name in _ORDERS)

# Keys with the operators that fit them and the values to write under these.
KEYS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("kms:EncryptionContext:tenant", _STRING, TEXTS),
    ("kms:EncryptionContext:Stage", _STRING, TEXTS),
    ("kms:EncryptionContextKeys", _STRING, ("tenant", "Stage", "stage", "t*", "*", "other")),
    (
        "kms:ViaService",
        _STRING,
        ("s3.us-east-1.amazonaws.com", "s3.*", "*.amazonaws.com", "ec2.us-east-1.amazonaws.com"),
    ),
    ("kms:CallerAccount", _STRING, (*ACCOUNTS, "4444*", "1*", "${aws:PrincipalAccount}")),
    ("aws:PrincipalAccount", _STRING, (*ACCOUNTS, "?1*", "*", "${kms:CallerAccount}")),
    ("aws:PrincipalArn", _STRING + _ARN, ARNS),
    ("aws:PrincipalOrgID", _STRING, ("o-aaa111", "o-bbb222", "o-*", "${aws:ResourceOrgID}")),
    ("aws:PrincipalOrgPaths", _STRING, ("o-aaa111/*", "o-aaa111/r-x/ou-1/*", "o-*/r-x/*")),
    ("aws:PrincipalTag/t", _STRING, TEXTS),
    ("aws:PrincipalType", _STRING, ("User", "AssumedRole", "Account", "A*")),
    ("aws:username", _STRING, ("bob", "b*", "alice", "${aws:PrincipalTag/t}")),
    ("aws:userid", _STRING, ("AROAEXAMPLE:*", "AIDAEXAMPLE", "*:s1", OWNER)),
    ("aws:PrincipalIsAWSService", ("Bool", "StringEquals"), ("true", "false")),
    ("aws:PrincipalServiceName", _STRING, ("cloudtrail.amazonaws.com", "s*.amazonaws.com")),
    ("aws:PrincipalServiceNamesList", _STRING, ("cloudtrail.amazonaws.com", "s*.amazonaws.com")),
    ("aws:SourceArn", _ARN + _STRING, SOURCES),
    ("aws:SourceAccount", _STRING, (*ACCOUNTS, "${aws:PrincipalAccount}", "${aws:ResourceAccount}")),
    ("aws:SourceOrgID", _STRING, ("o-aaa111", "${aws:ResourceOrgID}")),
    (
        "aws:SourceIp",
        ("IpAddress", "NotIpAddress"),
        ("203.0.113.0/24", "203.0.113.0/25", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "198.51.100.7"),
    ),
    ("aws:VpcSourceIp", ("IpAddress", "NotIpAddress"), ("10.0.0.0/8", "10.1.0.0/16")),
    ("aws:SourceVpce", _STRING, ("vpce-0a1b2c3d", "vpce-1*", "vpce-*")),
    ("aws:SourceVpc", _STRING, ("vpc-1", "vpc-2")),
    ("aws:ViaAWSService", ("Bool",), ("true", "false")),
    ("aws:CalledVia", _STRING, ("athena.amazonaws.com", "dynamodb.amazonaws.com", "a*")),
    ("aws:CalledViaFirst", _STRING, ("athena.amazonaws.com", "d*")),
    ("aws:CalledViaLast", _STRING, ("athena.amazonaws.com", "d*")),
    ("aws:MultiFactorAuthPresent", ("Bool", "StringEquals"), ("true", "false")),
    ("aws:MultiFactorAuthAge", _NUMERIC, ("100", "3600", "100.5")),
    ("aws:CurrentTime", _DATE, ("2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "1893456000", "2029-06-01")),
    ("aws:EpochTime", _DATE + _NUMERIC, ("1893456000", "1900000000")),
    ("aws:TokenIssueTime", _DATE, ("2030-01-01T00:00:00Z", "2029-06-01")),
    ("aws:SecureTransport", ("Bool",), ("true", "false")),
    ("aws:UserAgent", _STRING, ("a*", "b")),
    ("aws:RequestedRegion", _STRING, ("us-east-1", "eu-*")),
    ("aws:ResourceAccount", _STRING, (OWNER, "444455556666", "${aws:PrincipalAccount}")),
    ("aws:ResourceOrgID", _STRING, ("o-aaa111", "${aws:PrincipalOrgID}")),
    ("aws:ResourceTag/t", _STRING, TEXTS),
    ("aws:RequestTag/t", _STRING, TEXTS),
    ("aws:TagKeys", _STRING, ("t", "u", "t*")),
    ("kms:GrantOperations", _STRING, ("Encrypt", "Decrypt", "Gen*", "Sign")),
    ("kms:GrantIsForAWSResource", ("Bool",), ("true", "false")),
    ("kms:GranteePrincipal", _STRING, (f"arn:aws:iam::{OWNER}:role/App", "*role/*", "${aws:PrincipalArn}")),
    ("kms:KeySpec", _STRING, ("SYMMETRIC_DEFAULT", "RSA_2048")),
    ("kms:SigningAlgorithm", _STRING, ("ECDSA_SHA_256", "RSA*")),
    ("kms:PolicyName", _STRING, ("default", "AWS_RAM")),
    ("kms:BypassPolicyLockoutSafetyCheck", ("Bool",), ("true", "false")),
    ("kms:ScheduleKeyDeletionPendingWindowInDays", _NUMERIC, ("7", "30", "15")),
    ("kms:RecipientAttestation:PCR0", _STRING, ("abc", "ABC")),
    ("kms:EncryptionAlgorithm", ("BinaryEquals", "StringEquals"), ("U1lN", "SYMMETRIC_DEFAULT")),
)


class Generator:
    """Makes policies, changes and requests from a seed; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        # A policy is about few keys, so that its statements have something to do with each other.
        self.keys = self.random.sample(KEYS, self.random.choice((1, 1, 2, 2, 3, 4)))
        self.principals = self.random.sample(PRINCIPALS, self.random.choice((1, 2, 3, 5)))
        self.actions = self.random.sample(ACTIONS, self.random.choice((1, 2, 3)))

    def policy(self) -> Json:
        """A random policy of one to five statements."""
        version = self.random.choice(("2012-10-17",) * 6 + ("2008-10-17",))
        return {
            "Version": version,
            "Statement": [self.statement() for _ in range(self.random.choice((1, 1, 2, 3, 4, 5)))],
        }

    def statement(self) -> Json:
        pick = self.random
        statement: Json = {"Effect": pick.choice(("Allow", "Allow", "Allow", "Deny")), "Resource": "*"}
        principal = pick.choice(self.principals)
        statement["NotPrincipal" if pick.random() < 0.06 and isinstance(principal, dict) else "Principal"] = principal
        statement["NotAction" if pick.random() < 0.06 else "Action"] = pick.choice(self.actions)
        if pick.random() < 0.8:
            block: dict[str, dict[str, object]] = {}
            for _ in range(pick.choice((1, 1, 2, 3))):
                operator, key, values = self.condition()
                block.setdefault(operator, {})[key] = values
            statement["Condition"] = block
        return statement

    def condition(self) -> tuple[str, str, object]:
        pick = self.random
        key, operators, values = pick.choice(self.keys)
        known = catalogue().key(key)
        if pick.random() < 0.12:
            return "Null", key, pick.choice(("true", "false"))
        operator = pick.choice(operators)
        if (known is not None and known.multi and pick.random() < 0.95) or pick.random() < 0.05:
            operator = f"{pick.choice(('ForAllValues', 'ForAnyValue'))}:{operator}"
        if pick.random() < 0.2:
            operator += "IfExists"
        chosen = pick.sample(values, min(len(values), pick.choice((1, 1, 1, 2, 3))))
        return operator, key, chosen if len(chosen) > 1 or pick.random() < 0.3 else chosen[0]

    def changed(self, policy: Json) -> Json:
        """The policy after a few small edits, as people make them."""
        pick = self.random
        result = copy.deepcopy(policy)
        statements = result["Statement"]
        assert isinstance(statements, list)
        for _ in range(pick.choice((1, 1, 2, 3))):
            edit = pick.randrange(8)
            if edit == 0 or not statements:
                statements.append(self.statement())
            elif edit == 1 and len(statements) > 1:
                statements.pop(pick.randrange(len(statements)))
            elif edit == 2:
                pick.choice(statements)["Effect"] = pick.choice(("Allow", "Deny"))
            elif edit == 3:
                pick.choice(statements)["Action"] = pick.choice(self.actions)
                for each in statements:
                    if "Action" in each:
                        each.pop("NotAction", None)
            elif edit == 4:
                statement = pick.choice(statements)
                statement.pop("NotPrincipal", None)
                statement["Principal"] = pick.choice(self.principals)
            else:
                statement = pick.choice(statements)
                operator, key, values = self.condition()
                block = statement.setdefault("Condition", {})
                if edit == 5 and block:
                    block.pop(pick.choice(sorted(block)))
                elif edit == 6:
                    block.clear()
                block.setdefault(operator, {})[key] = values
        return result

    def pair(self) -> tuple[Json, Json]:
        """A policy and another one: mostly an edit of it, sometimes a new one over the same keys."""
        before = self.policy()
        return before, self.changed(before) if self.random.random() < 0.7 else self.policy()

    def equivalent(self, policy: Json) -> Json:
        """The same policy said differently: statements shuffled, split by action or value, repeated."""
        pick = self.random
        statements: list[Json] = []
        for statement in copy.deepcopy(policy["Statement"]):  # type: ignore[attr-defined]
            actions = statement.get("Action")
            if isinstance(actions, list) and len(actions) > 1 and pick.random() < 0.7:
                statements += [{**statement, "Action": action} for action in actions]
            else:
                statements.append(statement)
            if pick.random() < 0.3:
                statements.append({**copy.deepcopy(statement), "Sid": "again"})
        pick.shuffle(statements)
        return {"Version": policy["Version"], "Statement": statements}

    # Requests ----------------------------------------------------------------------------------------------------

    def request(self, policies: Sequence[KeyPolicy]) -> Request:
        """A request that can happen and comes close to what the policies ask for."""
        pick = self.random
        caller = self.caller()
        actions = [action.name for action in catalogue().key_actions()]
        likely = (
            "kms:Decrypt",
            "kms:Encrypt",
            "kms:CreateGrant",
            "kms:PutKeyPolicy",
            "kms:ScheduleKeyDeletion",
            "kms:TagResource",
            "kms:Sign",
        )
        action = pick.choice(likely if pick.random() < 0.8 else actions)
        bare = Request(caller, action)
        written: dict[str, list[str]] = {}
        for policy in policies:
            for _, condition in policy.conditions():
                for key in consulted(condition, variables=True):
                    written.setdefault(key, [])
                written[condition.name] += condition.values
        pool = [value for values in written.values() for value in values]
        context: dict[str, tuple[str, ...]] = {}
        endpoint = pick.random() < 0.4
        for key in sorted(written):
            known = catalogue().key(key)
            if known is None or not can_carry(known, bare):
                continue
            if key in ("aws:sourcevpce", "aws:sourcevpc", "aws:vpcsourceip"):
                if not endpoint:
                    continue
            elif key == "aws:sourceip":
                if endpoint:
                    continue
            elif known.presence != "always" and pick.random() < 0.3:
                continue
            several = known.multi and not key.endswith("orgpaths")
            number = pick.choice((1, 1, 2, 3)) if several else 1
            values = [self.value(key, known.type, written[key] or pool) for _ in range(number)]
            context[known.name[:-1] + key[len(known.name) - 1 :] if known.name.endswith("*") else known.name] = tuple(
                dict.fromkeys(values)
            )
        self._link(context, caller, written)
        return Request(caller, action, context, needs_iam=pick.random() < 0.6)

    def _link(self, context: dict[str, tuple[str, ...]], caller: Caller, written: dict[str, list[str]]) -> None:
        """The axioms that `context.complete` does not put right by itself."""
        for name in ("Principal", "Resource", "Source"):
            orgid, paths = f"aws:{name}OrgID", f"aws:{name}OrgPaths"
            if orgid in context and paths.lower() in written and paths not in context:
                context[paths] = (context[orgid][0] + "/r-x/",)
            if name == "Principal" and caller.account == OWNER:
                for other in ("aws:ResourceOrgID", "aws:ResourceOrgPaths"):
                    context.pop(other, None)
                if paths in context and "aws:resourceorgpaths" in written:
                    context["aws:ResourceOrgPaths"] = context[paths]
                if paths not in context and orgid in context and "aws:resourceorgpaths" in written:
                    context["aws:ResourceOrgPaths"] = (context[orgid][0] + "/r-x/",)
        for name in list(context):
            if name.lower() == "kms:encryptioncontext:stage" and self.random.random() < 0.3:
                context["kms:EncryptionContext:stage"] = context.pop(name)
        if "kms:encryptioncontextkeys" in written and self.random.random() < 0.3:
            context["kms:EncryptionContext:other"] = ("x",)
        through = ("kms:ViaService", "aws:CalledVia", "aws:CalledViaFirst", "aws:CalledViaLast")
        if "aws:ViaAWSService" in context and any(name in context for name in through):
            context["aws:ViaAWSService"] = ("true",)
        chain = {"aws:calledvia", "aws:calledviafirst", "aws:calledvialast"} & written.keys()
        if len(chain) > 1 and any(name.lower() in chain for name in context):
            first = context.pop("aws:CalledViaFirst", ("athena.amazonaws.com",))
            last = context.pop("aws:CalledViaLast", first)
            if "aws:calledvia" in written:
                context["aws:CalledVia"] = tuple(dict.fromkeys((*first, *context.get("aws:CalledVia", ()), *last)))
            else:
                context["aws:CalledViaFirst"], context["aws:CalledViaLast"] = first, last
        if "aws:CurrentTime" in context and "aws:EpochTime" in context:
            del context["aws:EpochTime"]

    def caller(self) -> Caller:
        pick = self.random
        return pick.choice(
            (
                Caller(CallerKind.ROLE, OWNER, "App"),
                Caller(CallerKind.ROLE, OWNER, "App"),
                Caller(CallerKind.ROLE, OWNER, "App", "s1"),
                Caller(CallerKind.ROLE, OWNER, "team/Ops"),
                Caller(CallerKind.ROLE, OWNER, pick.choice(("any", "team/x", "b"))),
                Caller(CallerKind.USER, OWNER, "bob"),
                Caller(CallerKind.USER, OWNER, pick.choice(("alice", "b", "team/bob", "ab"))),
                Caller(CallerKind.FEDERATED_USER, OWNER, pick.choice(("fed", "x"))),
                Caller(CallerKind.ROOT, OWNER),
                Caller(CallerKind.ROLE, "444455556666", pick.choice(("ETL", "App", "z"))),
                Caller(CallerKind.USER, "444455556666", pick.choice(("bob", "a"))),
                Caller(CallerKind.ROOT, pick.choice(("444455556666", "777788889999"))),
                Caller(CallerKind.ROLE, "777788889999", "App"),
                Caller(
                    CallerKind.ROLE,
                    pick.choice(("999999999999", "444400000000", "111111111111")),
                    pick.choice(("App", "q")),
                ),
                Caller(CallerKind.USER, "999999999999", pick.choice(("bob", "a"))),
                Caller(
                    CallerKind.SERVICE,
                    None,
                    pick.choice(("cloudtrail.amazonaws.com", "sns.amazonaws.com", "ses.amazonaws.com")),
                ),
            )
        )

    def value(self, key: str, kind: str, written: Sequence[str]) -> str:
        """A value of the key's type, near those written in the policies."""
        pick = self.random
        if kind == "Bool":
            return pick.choice(("true", "false"))
        if kind == "Numeric":
            return str(pick.choice((0, 7, 8, 15, 29, 30, 99, 100, 101, 3600, 5000)))
        if kind == "Date":
            epochs = (0, 1600000000, 1875000000, 1893455999, 1893456000, 1893456001, 1900000000, 1924992000, 1950000000)
            return str(pick.choice(epochs))
        if kind == "IpAddress":
            return pick.choice(
                (
                    "203.0.113.5",
                    "203.0.113.200",
                    "10.1.2.3",
                    "10.9.9.9",
                    "198.51.100.7",
                    "192.0.2.1",
                    "2001:db8::5",
                    "2a00::1",
                )
            )
        if key.endswith("orgid"):
            return pick.choice(("o-aaa111", "o-bbb222", "o-zzz"))
        if key.endswith("orgpaths"):
            return pick.choice(("o-aaa111/r-x/", "o-aaa111/r-x/ou-1/", "o-bbb222/r-x/ou-1/", "o-bbb222/r-y/"))
        if key == "aws:sourceaccount":
            return pick.choice((*ACCOUNTS, "999999999999"))
        if key == "aws:sourcevpce":
            return pick.choice(("vpce-0a1b2c3d", "vpce-1x", "vpce-9"))
        if key == "aws:sourcevpc":
            return pick.choice(("vpc-1", "vpc-2", "vpc-3"))
        if key == "kms:grantoperations":
            return pick.choice(("Encrypt", "Decrypt", "GenerateDataKey", "Sign", "CreateGrant"))
        text = pick.choice(tuple(written) or ("x",))
        fill: Callable[[], str] = lambda: pick.choice(("", "a", "b", "x", "ab"))  # noqa: E731
        for variable, values in _VARIABLES.items():
            text = text.replace(variable, pick.choice(values)) if pick.random() < 0.9 else text
        text = (
            "".join(fill() if char == "*" else (fill() or "q") if char == "?" else char for char in text)
            if pick.random() < 0.9
            else text
        )
        if pick.random() < 0.1:
            text = text.swapcase()
        if pick.random() < 0.1:
            text += fill()
        return text


_VARIABLES = {
    "${aws:username}": ("bob", "a", "b"),
    "${aws:PrincipalTag/t}": ("a", "b", "ab", "bob"),
    "${aws:PrincipalAccount}": ACCOUNTS,
    "${kms:CallerAccount}": ACCOUNTS,
    "${aws:PrincipalOrgID}": ("o-aaa111",),
    "${aws:ResourceOrgID}": ("o-aaa111",),
    "${aws:ResourceAccount}": (OWNER,),
    "${aws:PrincipalArn}": (f"arn:aws:iam::{OWNER}:role/App", f"arn:aws:iam::{OWNER}:user/bob"),
}
