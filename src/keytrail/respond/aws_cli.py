"""A plan as commands of the AWS CLI, version 2, for a POSIX shell: for reading, for a ticket, or to do it by hand.

What is in a plan comes from records and from AWS: whatever that says, the script does what the plan says, and no more.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from keytrail.respond.model import Call, Plan
from keytrail.respond.operations import described, lowered, operation_of, parameter
from keytrail.text import for_terminal

_END = "POLICY"
_OPTIONS: Mapping[str, str] = {
    "KeyId": "--key-id",
    "PolicyName": "--policy-name",
    "Policy": "--policy",
    "GrantId": "--grant-id",
    "RoleName": "--role-name",
    "UserName": "--user-name",
    "PolicyDocument": "--policy-document",
    "AccessKeyId": "--access-key-id",
    "Status": "--status",
}


def script(plan: Plan) -> str:
    """The commands of a plan, each below a comment that says what it does. Raises UsageError for a call of no plan.

    A policy goes into a file of the current folder, which is named after the plan.
    """
    lines = [
        f"# {for_terminal(plan.title)}",
        f"# plan {plan.id}, for the policy with the digest {for_terminal(plan.basis.digest) or '(none)'}",
        "set -eu",
    ]
    for number, call in enumerate(plan.calls):
        lines += ["", f"# {number + 1}. {for_terminal(described(call))}", *_commands(plan, number, call)]
        if call.undo:
            lines.append(f"# to take it back: {for_terminal(call.undo)}")
    return "\n".join(lines) + "\n"


def _commands(plan: Plan, number: int, call: Call) -> Iterator[str]:
    known = operation_of(call)
    file = f"keytrail-{plan.id}-{number + 1}.json"
    if known.document:
        text = plain_json(parameter(call, known.document))
        end = _delimiter(text)
        yield from (f"cat > {file} <<'{end}'", *text.split("\n"), end)
    if known.reads == "key policy":
        read = ["aws kms get-key-policy", *_region(call), f"--key-id {_quoted(call, 'KeyId')}", "--policy-name default"]
        yield f"# is it still the one that the plan was made for? {' '.join(read)}"
    words = ["aws", known.service, lowered(known.name, "-"), *_region(call)]
    for name in known.parameters:
        value = f"file://{file}" if name == known.document else _quoted(call, name)
        words += [_OPTIONS[name], value]
    yield " ".join(words)


def plain_json(text: str) -> str:
    r"""JSON text in ASCII with the same meaning; its lines stay lines, and nothing in it acts on a terminal or a shell.

    The AWS CLI reads a file in the encoding of the machine, which ASCII is the same in.

    >>> plain_json('{\r\n"Sid": "é\x7f"}')
    '{\n"Sid": "\\u00e9\\u007f"}'
    """
    kept = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    return "".join(one if one == "\n" or (one.isascii() and one.isprintable()) else _escape(one) for one in kept)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2], 'big'):04x}" for at in range(0, len(units), 2))


def _delimiter(text: str) -> str:
    """A line that is not one of the text, to end it with."""
    end, lines = _END, set(text.split("\n"))
    while end in lines:
        end += "_"
    return end


def _region(call: Call) -> list[str]:
    return [f"--region {shlex.quote(call.region)}"] if call.region and call.service != "iam" else []


def _quoted(call: Call, name: str) -> str:
    return shlex.quote(parameter(call, name))
