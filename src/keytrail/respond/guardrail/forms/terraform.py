"""All of it as one Terraform configuration, with variables that say which part an account gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from keytrail.respond.guardrail.forms import boundary, config, eventbridge, rcp, scp
from keytrail.respond.guardrail.forms.form import Form
from keytrail.respond.guardrail.model import Document, Guardrail
from keytrail.respond.guardrail.statements import BOUNDARY_NAME

_HEAD = """\
# Leaves the power over KMS key policies to break-glass roles. Written by keytrail.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}

variable "organization_policies" {
  description = "The service and resource control policies: in the management account."
  type        = bool
  default     = true
}

variable "target_ids" {
  description = "Root, organisational units or accounts that these policies are attached to."
  type        = set(string)
  default     = []
}

variable "detection" {
  description = "The rules of EventBridge and AWS Config: in every account and Region with keys."
  type        = bool
  default     = true
}

variable "alert_topic_arn" {
  description = "SNS topic that is told of calls, which EventBridge may publish to."
  type        = string
  default     = ""
}

variable "boundary" {
  description = "The permissions boundary: in accounts without AWS Organizations."
  type        = bool
  default     = false
}
"""


def configuration(guardrail: Guardrail) -> str:
    """The configuration as HCL. Raises UsageError if one of the policies in it is too large."""
    return "\n".join((_HEAD, *_blocks(guardrail)))


def hcl(value: object, indent: int = 0) -> str:
    r"""A plain JSON value as an expression of HCL in the form of `terraform fmt`; nothing in a text is a template.

    >>> print(hcl({"a": ['${b} "c"', True], "long": 1, "d": 2}))
    {
      "a" = [
        "$${b} \"c\"",
        true,
      ]
      "long" = 1
      "d"    = 2
    }
    """
    inner, outer = "  " * (indent + 1), "  " * indent
    match value:
        case dict() if value:
            members = [(_quoted(str(name)), hcl(one, indent + 1)) for name, one in value.items()]
            return "{\n" + "".join(f"{inner}{line}\n" for line in _aligned(members)) + outer + "}"
        case list() | tuple() if value:
            return "[\n" + "".join(f"{inner}{hcl(one, indent + 1)},\n" for one in value) + outer + "]"
        case dict():
            return "{}"
        case list() | tuple():
            return "[]"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case None:
            return "null"
        case _:
            return _quoted(str(value))


def _aligned(members: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Members with their = one below the other, as far as their values are of one line."""
    for of_one_line, some in groupby(members, key=lambda one: "\n" not in one[1]):
        run = list(some)
        width = max(len(name) for name, _ in run) if of_one_line else 0
        yield from (f"{name:<{width}} = {text}" for name, text in run)


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _quoted(text: str) -> str:
    escaped = "".join(_ESCAPES.get(c, c) if c.isprintable() or c in _ESCAPES else _unicode(c) for c in text)
    return '"' + escaped.replace("${", "$${").replace("%{", "%%{") + '"'


def _unicode(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _blocks(guardrail: Guardrail) -> Iterator[str]:
    for label, name, kind, policy in (
        ("service_control", scp.NAME, scp.TYPE, scp.policy(guardrail)),
        ("resource_control", rcp.NAME, rcp.TYPE, rcp.policy(guardrail)),
    ):
        yield f"""\
resource "aws_organizations_policy" "{label}" {{
  count       = var.organization_policies ? 1 : 0
  name        = {hcl(name)}
  type        = {hcl(kind)}
  description = "Key policies: break-glass roles only"
  content = jsonencode({hcl(policy, 1)})
}}

resource "aws_organizations_policy_attachment" "{label}" {{
  for_each  = var.organization_policies ? var.target_ids : toset([])
  policy_id = aws_organizations_policy.{label}[0].id
  target_id = each.value
}}
"""
    yield f"""\
resource "aws_iam_policy" "boundary" {{
  count       = var.boundary ? 1 : 0
  name        = {hcl(BOUNDARY_NAME)}
  description = "Boundary: key policies are for break-glass roles"
  policy = jsonencode({hcl(boundary.policy(guardrail), 1)})
}}

resource "aws_cloudwatch_event_rule" "calls" {{
  count       = var.detection ? 1 : 0
  name        = {hcl(eventbridge.NAME)}
  description = "Power over KMS key policies used by others than break-glass roles"
  event_pattern = jsonencode({hcl(eventbridge.pattern(guardrail), 1)})
}}

resource "aws_cloudwatch_event_target" "alerts" {{
  count     = var.detection && var.alert_topic_arn != "" ? 1 : 0
  rule      = aws_cloudwatch_event_rule.calls[0].name
  target_id = "alerts"
  arn       = var.alert_topic_arn
}}
"""
    for rule in config.rules(guardrail):
        parameters = f"  input_parameters = jsonencode({hcl(rule.parameters, 1)})\n" if rule.parameters else ""
        yield f"""\
resource "aws_config_config_rule" "{rule.name.removeprefix("keytrail-").replace("-", "_")}" {{
  count       = var.detection ? 1 : 0
  name        = {hcl(rule.name)}
  description = {hcl(rule.description)}
{parameters}
  scope {{
    compliance_resource_types = {hcl(rule.resource_types, 2)}
  }}

  source {{
    owner             = "AWS"
    source_identifier = {hcl(rule.identifier)}
  }}
}}
"""


def _write(guardrail: Guardrail) -> tuple[Document, ...]:
    return (Document("guardrail.tf", configuration(guardrail)),)


FORM = Form(
    "terraform",
    "Terraform configuration",
    ("scp", "rcp", "boundary"),
    _write,
    "terraform apply -var 'target_ids=[\"…\"]' -var alert_topic_arn=…; detection=false or organization_policies=false"
    " where an account is to have one part only",
)
