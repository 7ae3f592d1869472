"""Who outside the account is let in: everyone, another account, more of it than before, more than one organisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from keytrail.phrases import start
from keytrail.policy.catalogue import catalogue
from keytrail.policy.evaluate import evaluate
from keytrail.policy.findings import words
from keytrail.policy.findings.case import Access, Case, group_actions
from keytrail.policy.findings.finding import Found, Severity, references, step
from keytrail.policy.findings.powers import found
from keytrail.policy.findings.remedies import pin
from keytrail.policy.prover.classes import PrincipalClass
from keytrail.policy.requests import Request

_GRAVE = group_actions("decrypt", "derive", "grants", "policy")


def is_public(case: Case) -> Iterator[Found]:
    """KMS-P01: someone of an account named nowhere is let in, by nothing that bounds who or from where (1.10)."""
    comparison = case.comparison
    if not comparison.public:
        return
    gains = [access for access in case.gained() if any(g.sort == "stranger" for g in access.classes)]
    new = not case.earlier.exposure.public
    witness = comparison.public_witness
    gained = next((w for w in map(case.witness, gains) if w is not None), None)
    if not new and gains:
        witness = gained  # Not the public witness: that request may have been allowed before.
    elif new and gained is not None and (witness is None or not case.is_gain(witness)):
        witness = gained
    if witness is not None:
        actions = tuple(_open_actions(case, witness))
    else:
        actions = tuple(dict.fromkeys(action for access in gains for action in access.actions))
    statements = evaluate(case.after, witness, case.owner).allowed_by if witness is not None else ()
    can = "can" if witness is not None else "may be able to"
    what = words.powers(actions) if actions else "use this key"
    grave: Severity = "critical" if new or gains else "high"
    if new:
        sentence = f"Anyone with an AWS account {can} now {what}"
    elif gains:
        sentence = f"Anyone with an AWS account {can} do more with this key, which was public already: {what}"
    else:
        sentence = f"Anyone with an AWS account {can} {what}, as before this change"
    keys = words.keys(statements)
    if keys:
        sentence += f"; what it asks for ({keys}) bounds nobody"
    yield Found(
        grave,
        sentence + ".",
        pin(words.statements(statements, "new") if statements else "the statements that name everyone", case.org),
        principals=("*",),
        actions=actions,
        statements=references("after", statements),
        witness=witness,
        proof="possible" if witness is None else "witnessed",
        bound="upper bound",
        standing=grave == "high",
    )


def is_new_outside(case: Case) -> Iterator[Found]:
    """KMS-P02: accounts that had nothing have something, or outsiders whose account nothing bounds."""
    accounts: dict[str | None, list[Access]] = {}
    for access in case.gained():
        for group in access.classes:
            if case.is_outside(group):
                accounts.setdefault(group.account, []).append(replace(access, classes=(group,)))
    for account, accesses in accounts.items():
        if account is None:
            yield from _strangers(case, accesses, case.earlier.exposure.accounts)
        elif not case.earlier.has_anything(account):
            trusted = account in case.trusted
            yield _joined(case, accesses, "medium" if trusted else "high", _outsider(account, trusted))


def is_wider_outside(case: Case) -> Iterator[Found]:
    """KMS-P03: an account that had access has more: other identities, other powers, fewer conditions."""
    accounts: dict[str, list[Access]] = {}
    for access in case.gained():
        for group in access.classes:
            if case.is_outside(group) and group.account is not None and case.earlier.has_anything(group.account):
                accounts.setdefault(group.account, []).append(replace(access, classes=(group,)))
    for account, accesses in accounts.items():
        grave: Severity = "high" if any(_GRAVE.intersection(a.actions) for a in accesses) else "medium"
        trusted = account in case.trusted
        less = f"; {_outsider(account, trusted)} had access before, but less"
        subject = case.who(_classes(accesses))
        yield _joined(case, accesses, step(grave, 1) if trusted else grave, subject, tail=less)


def leaves_organisation(case: Case) -> Iterator[Found]:
    """KMS-P04: a wildcard was bounded by an organisation, and lets others in now."""
    if case.first or not any(group.sort == "stranger" for access in case.gained() for group in access.classes):
        return
    before = [a.removeprefix("org:") for a in case.earlier.exposure.accounts if a.startswith("org:")]
    if not before:
        return
    known = set(before)
    for access in case.gained():
        strangers = tuple(group for group in access.classes if group.sort == "stranger")
        if not strangers:
            continue
        witness = case.witness(replace(access, classes=strangers))
        if witness is not None and known.intersection(_organisations(witness)):
            continue
        if witness is None and "*" not in case.comparison.external_accounts:
            continue
        names = " or ".join(sorted(known))
        can = "can now" if witness is not None else "may now be able to"
        sentence = (
            f"Identities outside organisation {names} {can} {words.powers(access.actions)}: "
            "the policy before kept everyone else out."
        )
        only = replace(access, classes=strangers)
        remedy = pin(words.statements(access.change.statements, "new"), before[0])
        yield found(case, only, "critical", sentence=sentence, remedy=remedy, witness=witness)


def _strangers(case: Case, accesses: list[Access], before: tuple[str, ...]) -> Iterator[Found]:
    """Outsiders of no named account: bounded by an organisation, by a network only, or by nothing (then P01 has it)."""
    after = case.comparison.external_accounts
    if "*" in after:
        if "*" not in before and not case.comparison.public:
            yield _joined(case, accesses, "high", "Anyone with an AWS account who calls from the allowed network")
        return
    for organisation in sorted(set(after) - set(before)):
        if organisation.startswith("org:"):
            name = organisation.removeprefix("org:")
            own = name == case.org
            subject = f"Every account of {'your own ' if own else ''}organisation {name}"
            yield _joined(case, accesses, "low" if own else "high", subject)


def _joined(case: Case, accesses: list[Access], severity: Severity, subject: str, *, tail: str = "") -> Found:
    """Several gains of one account as one finding."""
    ordered = sorted(accesses, key=lambda each: (each.change.witness is None, not _GRAVE.intersection(each.actions)))
    first = ordered[0]
    actions = tuple(dict.fromkeys(action for access in ordered for action in access.actions))
    can = "can now" if first.change.witness is not None else "may now be able to"
    kept = all(access.kept for access in ordered)
    iam = " if IAM of that account allows it" if first.change.needs_iam else ""
    how = ", under fewer conditions than before" if kept else ""
    sentence = f"{start(subject)} {can} {words.powers(actions)}{iam}{how}{tail}."
    statements = tuple(dict.fromkeys(ref for access in ordered for ref in case.statements(access)))
    result = found(case, replace(first, actions=first.actions), severity, sentence=sentence)
    return replace(result, principals=words.labels(_classes(ordered)), actions=actions, statements=statements)


def _classes(accesses: Iterable[Access]) -> tuple[PrincipalClass, ...]:
    return tuple(dict.fromkeys(group for access in accesses for group in access.classes))


def _outsider(account: str, trusted: bool) -> str:
    return f"{'trusted ' if trusted else ''}account {account}"


def _open_actions(case: Case, witness: Request) -> Iterator[str]:
    """The actions that a request like the witness gets."""
    for action in catalogue().key_actions():
        if action.cross_account and case.allows(replace(witness, action=action.name)):
            yield action.name


def _organisations(request: Request) -> set[str]:
    found: set[str] = set()
    for key, values in request.context.items():
        if key.lower() == "aws:principalorgid":
            found.update(values)
        if key.lower() == "aws:principalorgpaths":
            found.update(value.partition("/")[0] for value in values)
    return found
