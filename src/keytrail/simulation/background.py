"""Background events: the everyday calls of the organisation, as JSON text.

Half a million of them are written in seconds, so what depends on kind and site alone is filled in a few times and
kept; a record is joined from such texts and the few values of its own (time, caller, ids).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from keytrail.simulation.chance import Chance
from keytrail.simulation.mix import EVENT_MIX, EventKind, kinds_at
from keytrail.simulation.organisation import AGENTS_CONSOLE, Actor, Site, address, iso, staff
from keytrail.simulation.shapes import READ_ONLY, body

_EXAMPLES = 4  # filled-in texts kept for each kind and site
_ERROR_SHARE = 0.035

_DATA_EVENTS = frozenset(
    (
        "GetObject", "PutObject", "HeadObject", "DeleteObject", "CopyObject", "ListObjects", "GetItem", "PutItem",
        "Query", "Invoke", "Publish", "SendMessage", "ReceiveMessage", "PutEvents",
    )
)  # fmt: skip
_INVOKERS = {  # provider -> the services that call it on their own
    "sts": ("ec2", "lambda", "ecs-tasks", "eks-nodegroup", "config", "cloudtrail", "rds", "ssm"),
    "s3": ("cloudtrail", "config", "delivery.logs", "guardduty"),
    "kms": ("ec2-infrastructure", "rds", "backup"),
    "ec2": ("autoscaling", "eks", "lambda", "backup", "ecs"),
}
_VERSIONS = ("1.08", "1.09", "1.09", "1.10", "1.11")
_DENIED = (
    "User: {arn} is not authorized to perform: {action} on resource: * "
    "because no identity-based policy allows the {action} action"
)
_UNAUTHORIZED = "You are not authorized to perform this operation. User: {arn} is not authorized to perform: {action}"
_KMS_RATE = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
_ERRORS: dict[str, tuple[tuple[str, str], ...]] = {
    "ec2": (
        ("Client.UnauthorizedOperation", _UNAUTHORIZED),
        ("Client.RequestLimitExceeded", "Request limit exceeded."),
        ("Client.InvalidInstanceID.NotFound", "The instance ID does not exist"),
    ),
    "s3": (("AccessDenied", "Access Denied"), ("NoSuchBucketPolicy", "The bucket policy does not exist")),
    "iam": (("AccessDenied", _DENIED), ("NoSuchEntityException", "The role cannot be found.")),
    "kms": (("AccessDenied", _DENIED), ("ThrottlingException", _KMS_RATE)),
    "ssm": (("ParameterNotFound", "Parameter not found."), ("AccessDenied", _DENIED)),
}
_ANY_ERRORS = (("AccessDenied", _DENIED), ("ThrottlingException", "Rate exceeded"))


@dataclass(frozen=True, slots=True)
class _Example:
    """The fixed texts of a record: between time and address, between agent and request id, after the event id."""

    middle: str
    parameters: str  # of a call that succeeded
    refused: str  # of one that failed
    end: str
    end_tls: str
    service: str


class Background:
    """Makes the background records of one archive; `counts` says how many of each kind of `EVENT_MIX` it made."""

    def __init__(self, sites: tuple[Site, ...], seed: int) -> None:
        self.counts = [0] * len(EVENT_MIX)
        self._chance = Chance(seed, "background")
        self._sites = sites
        self._staff = {site.account: staff(site.account, seed) for site in sites}
        self._kinds = tuple(kinds_at(site) for site in sites)
        self._examples: dict[int, list[_Example]] = {}

    def record(self, site_index: int, moment: int) -> str:
        """Return the JSON of one event at a site at `moment` (seconds since 1970)."""
        chance = self._chance
        index = self._kinds[site_index].draw(chance)
        self.counts[index] += 1
        kind, site = EVENT_MIX[index], self._sites[site_index]
        if kind.caller == "login":
            return self._login(kind, site, moment)
        examples = self._examples.setdefault(site_index * len(EVENT_MIX) + index, [])
        if len(examples) < _EXAMPLES:
            examples.append(_example(kind, index, site, moment, chance))
            example = examples[-1]
        else:
            example = chance.pick(examples)
        identity, agent, source, arn = self._caller(kind, site, moment, example.service)
        parameters = example.parameters
        if arn and chance.random() < _ERROR_SHARE:
            code, message = chance.pick(_ERRORS.get(kind.provider.partition(".")[0], _ANY_ERRORS))
            action = f"{kind.provider.partition('.')[0]}:{kind.name}"
            message = message.format(arn=arn, action=action)
            parameters = f'"errorCode":"{code}","errorMessage":"{message}",{example.refused}'
        request_id = chance.hex(16).upper() if kind.provider == "s3.amazonaws.com" else chance.uuid()
        # A service's own call is one event with a copy for each account concerned, tied together by a shared id.
        end = example.end_tls if ("." in source and source[-1].isdigit()) or ":" in source else example.end
        if agent.startswith("Mozilla/"):
            end = end[:-1] + ',"sessionCredentialFromConsole":"true"}'
        if not arn and kind.caller == "service":
            end = end.replace(',"eventCategory"', f',"sharedEventID":"{chance.uuid()}","eventCategory"', 1)
        return (
            f'{{"eventVersion":"{_VERSIONS[index % 5]}","userIdentity":{identity},"eventTime":"{iso(moment)}'
            f'{example.middle}{source}","userAgent":"{agent}",{parameters}{request_id}","eventID":"{chance.uuid()}{end}'
        )

    def _caller(self, kind: EventKind, site: Site, moment: int, via: str) -> tuple[str, str, str, str]:
        """Return the JSON of `userIdentity`, the user agent, the source address and the ARN of the caller."""
        chance, caller = self._chance, kind.caller
        if caller == "service":
            service = (
                chance.pick(_INVOKERS.get(kind.provider.partition(".")[0], ("config", "backup"))) + ".amazonaws.com"
            )
            return f'{{"type":"AWSService","invokedBy":"{service}"}}', service, service, ""
        if caller == "web":
            subject = f"system:serviceaccount:shop:checkout-{chance.below(5)}"
            issuer = f"oidc.eks.{site.region}.amazonaws.com/id/EXAMPLE1539D4633E53DE1B71EXAMPLE"
            provider = f"arn:aws:iam::{site.account}:oidc-provider/{issuer}"
            kinds = "SAMLUser" if kind.name.endswith("SAML") else "WebIdentityUser"
            identity = (
                f'{{"type":"{kinds}","principalId":"{provider}:sts.amazonaws.com:{subject}","userName":"{subject}",'
                f'"identityProvider":"{provider}"}}'
            )
            return (
                identity,
                "aws-sdk-go-v2/1.26.1 os/linux lang/go#1.22.2 md/GOOS#linux md/GOARCH#arm64",
                address(chance),
                "",
            )
        who = self._staff[site.account]
        group: tuple[Actor, ...]
        if caller == "via" and chance.random() < 0.8:
            actor = chance.pick(who.apps)
            return f'{actor.identity(moment)[:-1]},"invokedBy":"{via}"}}', via, via, actor.arn
        if caller in ("app", "via"):
            group = who.apps
        elif caller == "read":
            group = who.readers if chance.random() < 0.8 else who.people
        elif caller == "write":
            group = who.writers
        else:
            group = who.people
        actor = chance.pick(group)
        agent = chance.pick(actor.agents)
        if "{command}" in agent:
            agent = agent.replace("{command}", f"{kind.provider.partition('.')[0]}.{_kebab(kind.name)}")
        return actor.identity(moment), agent, chance.pick(actor.addresses), actor.arn

    def _login(self, kind: EventKind, site: Site, moment: int) -> str:
        """Return a console sign-in: no key, no request id, and a type of its own."""
        chance = self._chance
        actor = chance.pick(self._staff[site.account].people)
        user = actor.arn.rpartition("/")[2].partition("@")[0]
        failed = kind.name == "ConsoleLogin" and chance.random() < 0.06
        error = '"errorMessage":"Failed authentication",' if failed else ""
        answer = "Failure" if failed else "Success"
        source, agent = chance.pick(actor.addresses), chance.pick(AGENTS_CONSOLE[:2])
        return (
            f'{{"eventVersion":"1.08","userIdentity":{{"type":"IAMUser","principalId":"AIDA{chance.upper(17)}",'
            f'"arn":"arn:aws:iam::{site.account}:user/{user}","accountId":"{site.account}","userName":"{user}"}},'
            f'"eventTime":"{iso(moment)}","eventSource":"signin.amazonaws.com","eventName":"{kind.name}",'
            f'"awsRegion":"{site.region}","sourceIPAddress":"{source}","userAgent":"{agent}",{error}'
            f'"requestParameters":null,"responseElements":{{"{kind.name}":"{answer}"}},"additionalEventData":{{'
            f'"LoginTo":"https://console.aws.amazon.com/console/home?hashArgs=%23&isauthcode=true&state=hashArgs",'
            f'"MobileVersion":"No","MFAUsed":"{"No" if failed else "Yes"}"}},"eventID":"{chance.uuid()}",'
            f'"readOnly":false,'
            f'"eventType":"AwsConsoleSignIn","managementEvent":true,"recipientAccountId":"{site.account}",'
            f'"eventCategory":"Management","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256",'
            f'"clientProvidedHostHeader":"signin.aws.amazon.com"}}}}'
        )


def _example(kind: EventKind, index: int, site: Site, moment: int, chance: Chance) -> _Example:
    texts = body(kind, site, moment, chance)
    service = kind.provider.partition(".")[0]
    host = kind.provider if service == "iam" else f"{service}.{site.region}.amazonaws.com"
    additional = f'"additionalEventData":{texts.additional},' if texts.additional else ""
    resources = f'"resources":{texts.resources},' if texts.resources else ""
    data = kind.name in _DATA_EVENTS
    end = (
        f'","readOnly":{"true" if READ_ONLY.match(kind.name) else "false"},{resources}"eventType":"AwsApiCall",'
        f'"managementEvent":{"false" if data else "true"},"recipientAccountId":"{site.account}",'
        f'"eventCategory":"{"Data" if data else "Management"}"'
    )
    tls = "TLSv1.3", "TLS_AES_128_GCM_SHA256"
    if index % 3 == 2:
        tls = "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"
    return _Example(
        f'","eventSource":"{kind.provider}","eventName":"{kind.name}","awsRegion":"{site.region}","sourceIPAddress":"',
        f'"requestParameters":{texts.request},"responseElements":{texts.response},{additional}"requestID":"',
        f'"requestParameters":{texts.request},"responseElements":null,{additional}"requestID":"',
        end + "}",
        f'{end},"tlsDetails":{{"tlsVersion":"{tls[0]}","cipherSuite":"{tls[1]}","clientProvidedHostHeader":"{host}"}}}}',
        texts.service,
    )


@lru_cache(maxsize=512)
def _kebab(name: str) -> str:
    return "".join("-" + c.lower() if c.isupper() else c for c in name).lstrip("-")
