"""The values that options take are those that there are: the commands name them again, so that --help loads nothing."""

from __future__ import annotations

from typing import get_args

from keytrail.cli.commands.guardrail import FormChoice
from keytrail.cli.commands.respond import PlanKind
from keytrail.respond.guardrail.model import FormName
from keytrail.respond.guardrail.registry import FORMS
from keytrail.respond.model import Kind
from keytrail.respond.registry import KINDS


def test_every_kind_of_plan_can_be_asked_for() -> None:
    assert {one.value for one in PlanKind} == set(KINDS) == set(get_args(Kind))


def test_every_form_of_a_guardrail_can_be_asked_for() -> None:
    assert {one.value for one in FormChoice} == {one.name for one in FORMS} == set(get_args(FormName))
