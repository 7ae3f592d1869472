"""How the story is told: planted events, what is known of each, and the policy of every key as it changes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from keytrail.simulation.chance import Chance
from keytrail.simulation.organisation import Site, access_key, iso, long_date, role_identity, role_path
from keytrail.simulation.policies import Json, as_sent, default_policy

DAYS = 7
_DAY_SECONDS = 86400
_SESSION_SECONDS = 8 * 3600


@dataclass(frozen=True, slots=True)
class Key:
    """A KMS key of the story."""

    site: Site
    key_id: str
    alias: str

    @property
    def arn(self) -> str:
        return f"arn:aws:kms:{self.site.region}:{self.site.account}:key/{self.key_id}"

    @property
    def alias_arn(self) -> str:
        return f"arn:aws:kms:{self.site.region}:{self.site.account}:{self.alias}"


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody who acts in the story: `userIdentity`, the principal's ARN, from where and with what.

    `created` is when the session of a role began, None for everyone else.
    """

    identity: Json
    principal: str
    address: str
    agent: str
    created: int | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """A principal (an ARN, a service, `*`) that a change lets do what it could not do before, and the actions.

    `limit` says in words what a condition leaves of it.
    """

    principal: str
    actions: tuple[str, ...]
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """A policy as far as the archive tells it.

    `status`: known (the document was logged), default (a key created without a policy), none (no key yet) or
    unknown (nothing logged, or omitted from the record). `event_id` is where it comes from.
    """

    status: str
    policy: Json | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a successful PutKeyPolicy, CreateKey or ReplicateKey did to the policy of one key."""

    before: Version
    after: Version
    gained: tuple[Gain, ...] = ()
    lost: tuple[str, ...] = ()
    bypassed_lockout_check: bool = False


@dataclass(frozen=True, slots=True)
class Planted:
    """One event of the story. `moment` and `delay` are seconds; `context` is the encryption context, if any."""

    step: str
    what: str
    moment: int
    delay: int
    site: Site
    provider: str
    name: str
    event_id: str
    text: str
    principal: str
    error: str | None
    key: Key | None
    context: dict[str, str] | None
    change: Change | None


class Teller:
    """Collects the planted events; the chapters of the story call it in any order of time."""

    def __init__(self, start: int, seed: int) -> None:
        self.planted: list[Planted] = []
        self.chance = Chance(seed, "story")
        self._start = start
        self._policies: dict[str, Version] = {}
        self._session_keys: dict[tuple[str, int], str] = {}

    def at(self, day: int, clock: str) -> int:
        """Return the moment of a day of the archive (from 0) and a time of day, `hh:mm:ss`."""
        hours, minutes, seconds = clock.split(":")
        return self._start + day * _DAY_SECONDS + int(hours) * 3600 + int(minutes) * 60 + int(seconds)

    # People ------------------------------------------------------------------------------------------

    def key(self, account: str, region: str, alias: str, *, multi_region: bool = False) -> Key:
        key_id = "mrk-" + self.chance.hex(32) if multi_region else self.chance.uuid()
        return Key(Site(account, region), key_id, f"alias/{alias}")

    def user(self, account: str, name: str, address: str, agent: str) -> Persona:
        """Return an IAM user with a long-lived access key."""
        arn = f"arn:aws:iam::{account}:user/{name}"
        identity: Json = {
            "type": "IAMUser",
            "principalId": "AIDA" + self.chance.upper(17),
            "arn": arn,
            "accountId": account,
            "accessKeyId": access_key(self.chance, temporary=False),
            "userName": name,
        }
        return Persona(identity, arn, address, agent)

    def role(
        self, account: str, role: str, session: str, address: str, agent: str, *, created: int, mfa: bool = False
    ) -> Persona:
        """Return somebody in a role, with the session that began at `created`."""
        role_id = "AROA" + self.chance.upper(17)
        arn = f"arn:aws:iam::{account}:role/{role_path(role)}{role}"
        key = access_key(self.chance, temporary=True)
        identity = role_identity(account, role, role_id, session, key=key, created=iso(created), mfa=mfa)
        return Persona(identity, arn, address, agent, created)

    def outsider(self, account: str, principal_id: str, address: str, agent: str) -> Persona:
        """Return a caller of another account as the owner of the key sees it: no name, only an id."""
        identity: Json = {"type": "AWSAccount", "principalId": principal_id, "accountId": account}
        return Persona(identity, f"arn:aws:iam::{account}:root", address, agent)

    # Events ------------------------------------------------------------------------------------------

    def tell(
        self,
        step: str,
        what: str,
        moment: int,
        site: Site,
        call: str,
        who: Persona,
        *,
        request: Json | None = None,
        response: Json | None = None,
        resources: list[Json] | None = None,
        additional: Json | None = None,
        error: tuple[str, str] | None = None,
        event_type: str = "AwsApiCall",
        read_only: bool = False,
        invoked_by: str = "",
        shared: bool | str = False,
        delay: int | None = None,
        event_id: str | None = None,
        key: Key | None = None,
        context: dict[str, str] | None = None,
        change: Change | None = None,
    ) -> Planted:
        """Plant one event; `call` is `service:EventName`, `invoked_by` a service that passes `who` on."""
        service, name = call.split(":")
        provider = f"{service}.amazonaws.com"
        identity = self._identity_at(who, moment)
        address, agent = who.address, who.agent
        if invoked_by:
            identity["invokedBy"] = address = agent = invoked_by
        event_id = event_id or self.chance.uuid()
        record: Json = {
            "eventVersion": "1.11" if service == "kms" else "1.09",
            "userIdentity": identity,
            "eventTime": iso(moment),
            "eventSource": provider,
            "eventName": name,
            "awsRegion": site.region,
            "sourceIPAddress": address,
            "userAgent": agent,
        }
        if error:
            record["errorCode"], record["errorMessage"] = error
        record["requestParameters"] = request
        record["responseElements"] = response
        if additional:
            record["additionalEventData"] = additional
        if event_type == "AwsApiCall":
            record["requestID"] = self.chance.uuid()
        record["eventID"] = event_id
        record["readOnly"] = read_only
        if resources or key:
            record["resources"] = resources or [key_resource(key)] if key else resources
        record["eventType"] = event_type
        record["managementEvent"] = True
        record["recipientAccountId"] = site.account
        if shared:
            record["sharedEventID"] = shared if isinstance(shared, str) else self.chance.uuid()
        record["eventCategory"] = "Management"
        if not address.endswith((".com", "Internal")):
            record["tlsDetails"] = {
                "tlsVersion": "TLSv1.3",
                "cipherSuite": "TLS_AES_128_GCM_SHA256",
                "clientProvidedHostHeader": f"{service}.{site.region}.amazonaws.com",
            }
        if agent.startswith("Mozilla/"):
            record["sessionCredentialFromConsole"] = "true"
        planted = Planted(
            step,
            what,
            moment,
            60 + self.chance.below(360) if delay is None else delay,
            site,
            provider,
            name,
            event_id,
            json.dumps(record, ensure_ascii=False, separators=(",", ":")),
            who.principal,
            error[0] if error else None,
            key,
            context,
            change,
        )
        self.planted.append(planted)
        return planted

    def create_key(
        self, step: str, what: str, moment: int, key: Key, who: Persona, policy: Json | None = None,
        *, gained: tuple[Gain, ...] = (), origin: str = "AWS_KMS", description: str = "", tags: Json | None = None,
    ) -> Planted:  # fmt: skip
        """Plant CreateKey and CreateAlias; without a policy the key has the default one."""
        multi_region = key.key_id.startswith("mrk-")
        request: Json = {
            "bypassPolicyLockoutSafetyCheck": False,
            "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "description": description,
            "keySpec": "SYMMETRIC_DEFAULT",
            "keyUsage": "ENCRYPT_DECRYPT",
            "multiRegion": multi_region,
            "origin": origin,
        }
        if policy is not None:
            request["policy"] = as_sent(policy)
        if tags:
            request["tags"] = [{"tagKey": name, "tagValue": value} for name, value in tags.items()]
        metadata = key_metadata(key, moment, origin=origin, description=description)
        change = self._change(key, policy or default_policy(key.site.account), gained, new=True)
        if policy is None:
            change = replace(change, after=replace(change.after, status="default"))
        event = self.tell(
            step, what, moment, key.site, "kms:CreateKey", who, request=request, response={"keyMetadata": metadata},
            key=key, change=change, event_id=change.after.event_id,
        )  # fmt: skip
        self._policies[key.arn] = change.after
        self.tell(
            step, f"{key.alias} is given to the key", moment + 3, key.site, "kms:CreateAlias", who, key=key,
            request={"aliasName": key.alias, "targetKeyId": key.key_id},
            resources=[key_resource(key, key.alias_arn), key_resource(key)],
        )  # fmt: skip
        return event

    def put_policy(
        self, step: str, what: str, moment: int, key: Key, who: Persona, policy: Json,
        *, gained: tuple[Gain, ...] = (), lost: tuple[str, ...] = (), bypass: bool = False,
        omitted: bool = False, compact: bool = False, error: tuple[str, str] | None = None,
        delay: int | None = None,
    ) -> Planted:  # fmt: skip
        """Plant PutKeyPolicy. `omitted`: the parameters were too large to be logged, so nobody knows the policy."""
        text = json.dumps(policy, separators=(",", ":")) if compact else as_sent(policy)
        request: Json = {
            "keyId": key.key_id,
            "policyName": "default",
            "policy": text,
            "bypassPolicyLockoutSafetyCheck": bypass,
        }
        if omitted:
            request = {
                "omitted": True,
                "originalSize": 104_211,
                "reason": "requestParameters too large",
            }
        change = None
        if error is None:
            change = self._change(key, None if omitted else policy, gained, lost, bypass)
            self._policies[key.arn] = change.after
        return self.tell(
            step, what, moment, key.site, "kms:PutKeyPolicy", who, request=request, key=key, change=change,
            error=error, delay=delay, event_id=change.after.event_id if change else None,
            shared=who.identity["type"] == "AWSService",
        )  # fmt: skip

    def replicate(
        self, step: str, what: str, moment: int, key: Key, replica: Key, who: Persona, policy: Json,
        gained: tuple[Gain, ...] = (),
    ) -> Planted:  # fmt: skip
        """Plant ReplicateKey in the primary's region and the CreateKey that follows in the replica's."""
        change = self._change(replica, policy, gained, new=True)
        self._policies[replica.arn] = change.after
        event = self.tell(
            step, what, moment, key.site, "kms:ReplicateKey", who, key=replica, change=change,
            event_id=change.after.event_id, resources=[key_resource(key)],
            request={
                "keyId": key.arn, "replicaRegion": replica.site.region, "policy": as_sent(policy),
                "bypassPolicyLockoutSafetyCheck": False, "description": "",
            },
            response={
                "replicaKeyMetadata": {
                    **key_metadata(replica, moment),
                    "keyState": "Creating",
                    "multiRegionConfiguration": {
                        "multiRegionKeyType": "REPLICA",
                        "primaryKey": {"arn": key.arn, "region": key.site.region},
                        "replicaKeys": [{"arn": replica.arn, "region": replica.site.region}],
                    },
                },
                "replicaPolicy": as_sent(policy),
                "replicaTags": [],
            },
        )  # fmt: skip
        self.tell(
            step, "the replica appears in its region", moment + 2, replica.site, "kms:CreateKey", who, key=replica,
            request={"origin": "AWS_KMS", "multiRegion": True, "policy": as_sent(policy)},
            response={"keyMetadata": key_metadata(replica, moment)}, invoked_by="kms.amazonaws.com",
        )  # fmt: skip
        return event

    def use(
        self, step: str, what: str, moment: int, key: Key, who: Persona, context: dict[str, str],
        *, name: str = "Decrypt", service: str = "", error: tuple[str, str] | None = None,
    ) -> Planted:  # fmt: skip
        """Plant a use of the key with an encryption context, directly or through a service."""
        request: Json = {"encryptionContext": dict(context)}
        if name == "Decrypt":
            request["encryptionAlgorithm"] = "SYMMETRIC_DEFAULT"
        else:
            request.update({"keyId": key.arn, "keySpec": "AES_256"})
        return self.tell(
            step, what, moment, key.site, f"kms:{name}", who, request=request, key=key, context=context,
            read_only=True, invoked_by=service, error=error, shared=who.identity["type"] == "AWSAccount",
        )  # fmt: skip

    def _identity_at(self, who: Persona, moment: int) -> Json:
        """Return `userIdentity` for a call at `moment`; who works on for days gets a new session every 8 hours."""
        identity = dict(who.identity)
        if who.created is None or moment - who.created < _SESSION_SECONDS:
            return identity
        began = moment - moment % _SESSION_SECONDS
        if (who.principal, began) not in self._session_keys:
            self._session_keys[who.principal, began] = access_key(self.chance, temporary=True)
        identity["accessKeyId"] = self._session_keys[who.principal, began]
        context = identity["sessionContext"]
        assert isinstance(context, dict)
        attributes = {**context["attributes"], "creationDate": iso(began)}
        identity["sessionContext"] = {**context, "attributes": attributes}
        return identity

    def policy_of(self, key: Key) -> Json:
        """Return the policy that a key has at this point of the telling."""
        policy = self._policies[key.arn].policy
        assert policy is not None
        return policy

    def _change(
        self, key: Key, policy: Json | None, gained: tuple[Gain, ...], lost: tuple[str, ...] = (),
        bypass: bool = False, *, new: bool = False,
    ) -> Change:  # fmt: skip
        before = Version("none") if new else self._policies.get(key.arn, Version("unknown"))
        after = Version("unknown" if policy is None else "known", policy, self.chance.uuid())
        return Change(before, after, gained, lost, bypass)


def key_resource(key: Key, arn: str = "") -> Json:
    """Return an entry of `resources` for a key, or for an alias, which AWS types as a key too."""
    return {"accountId": key.site.account, "type": "AWS::KMS::Key", "ARN": arn or key.arn}


def key_metadata(key: Key, moment: int, *, origin: str = "AWS_KMS", description: str = "") -> Json:
    """Return `keyMetadata` as CreateKey answers it; CloudTrail spells the account's field like this."""
    pending = origin == "EXTERNAL"
    return {
        "aWSAccountId": key.site.account,
        "keyId": key.key_id,
        "arn": key.arn,
        "creationDate": long_date(moment),
        "enabled": not pending,
        "description": description,
        "keyUsage": "ENCRYPT_DECRYPT",
        "keyState": "PendingImport" if pending else "Enabled",
        "origin": origin,
        "keyManager": "CUSTOMER",
        "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "keySpec": "SYMMETRIC_DEFAULT",
        "encryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "multiRegion": key.key_id.startswith("mrk-"),
    }
