"""The verdict on a change: signals with points, summed up, and a rule for what the sum means.

The score is the sum of the points of all signals that apply (`signals.SIGNALS`), within 0 and 100. The verdict is

* no_effect when it is proved that the change gives nothing and takes nothing, against a policy before that is known;
* malicious from `MALICIOUS_FROM` points on, if a grave signal is among them: use by outsiders who were let in, a
  takeover, a lock-out, a self-grant, other acts of an intruder. Neither points nor an outside account alone suffice;
* review when a grave signal or a concern applies, or weak signs add up to `REVIEW_FROM` points. Whatever is not known
  (the policy before, the one after) is a concern, so that lack of data never makes a change expected;
* expected otherwise: nothing points to harm, and whoever gained is of the own accounts, approved, or an AWS service
  that is bound to them.

A change to be reviewed scores at least `REVIEW_FROM`, whatever speaks for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from keytrail.investigate.evidence import Evidence, Said
from keytrail.investigate.model import Judgement, Reason, Verdict
from keytrail.investigate.signals import APPROVABLE, SIGNALS
from keytrail.investigate.summary import summary_of

MALICIOUS_FROM = 70
REVIEW_FROM = 30
"""Points, of 100."""

MOST_EVENTS = 25
"""How many events a reason names as its evidence; the sections hold more."""


def judge(evidence: Evidence) -> Judgement:
    """What to think of a change, from the other sections of its investigation. The same every time."""
    said = _heard(evidence)
    points, verdict = _points(said), _verdict(said)
    score = max(points, REVIEW_FROM) if verdict == "review" else points
    reasons = [
        Reason(code, one.sentence, SIGNALS[code].points, one.findings, one.event_ids[:MOST_EVENTS])
        for code, one in said.items()
    ]
    return Judgement(
        verdict,
        max(0, min(score, 100)),
        summary_of(evidence, verdict),
        tuple(sorted(reasons, key=lambda one: -abs(one.points))),
        tuple(dict.fromkeys(_would_change(evidence, said, verdict))),
    )


def _heard(evidence: Evidence) -> dict[str, Said]:
    return {code: found for code, signal in SIGNALS.items() if (found := signal.when(evidence)) is not None}


def _points(said: Iterable[str]) -> int:
    return sum(SIGNALS[code].points for code in said)


def _verdict(said: Collection[str]) -> Verdict:
    points, weights = _points(said), {SIGNALS[code].weight for code in said}
    if "no_effect" in said:
        return "no_effect"
    if points >= MALICIOUS_FROM and "grave" in weights:
        return "malicious"
    if weights & {"grave", "concern"} or points >= REVIEW_FROM:
        return "review"
    return "expected"


def _would_change(evidence: Evidence, said: Mapping[str, Said], verdict: Verdict) -> Iterator[str]:
    """The facts that would: those which answer the signals that speak for the verdict, as far as a fact can."""
    if verdict == "no_effect":
        return
    approving = _verdict(_heard(evidence.approving()))
    for code, one in said.items():
        useless = code in APPROVABLE and approving == verdict
        if (SIGNALS[code].weight == "mild") is (verdict == "expected") and not useless:
            yield from one.would_change
    if verdict == "malicious" and approving == verdict:
        yield "Only word from those who answer for the key, that all of this was meant."
