"""Edits of a policy's text: the result says what it should, and every byte that is not edited is as it was."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.errors import UsageError
from keytrail.policy import KeyPolicy, Principal
from keytrail.policy.parse import parse_principal
from keytrail.respond.documents import Document, deleted_principals
from keytrail.respond.facts import MOST_POLICY_BYTES
from tests.policy.generator import Generator
from tests.policy.ordinary import ordinary_pair
from tests.respond.spelling import loosened, spelled

SEEDS = st.integers(min_value=0, max_value=2**40)
ALICE, BOB = "arn:aws:iam::111122223333:role/Alice", "arn:aws:iam::111122223333:user/bob"
GONE, ALSO_GONE = "AROAEXAMPLEEXAMPLE123", "AIDAEXAMPLEEXAMPLE123"


def aws(*texts: str) -> frozenset[Principal]:
    return frozenset(parse_principal("AWS", text) for text in texts)


def oddly(seed: int) -> tuple[str, random.Random]:
    """A random policy, oddly written."""
    pick = random.Random(seed)
    policy = Generator(seed).policy() if pick.random() < 0.5 else ordinary_pair(seed)[0]
    for statement in policy["Statement"]:
        if pick.random() < 0.5:
            statement["Sid"] = pick.choice(("Schlüssel für alle", 'say "}]," {[', "日本", "a\\b", ","))
    space = pick.choice(("", "\n", "\r\n "))
    text = f"{space}{spelled(loosened(policy, pick), pick)}{space}"
    # With room for additions.
    return (text, pick) if len(text.encode()) < MOST_POLICY_BYTES - 1_000 else oddly(seed + 1)


def around(document: Document) -> tuple[str, str]:
    """What stands before and after the statements."""
    span = document.spans[("Statement",)]
    return document.text[: span.start], document.text[span.end :]


@given(SEEDS)
def test_a_document_is_what_it_was_read_from(seed: int) -> None:
    text, _ = oddly(seed)
    document = Document.of(text)
    assert document.text == document.edited([]).text == text
    for index, statement in enumerate(document.statements):
        alone = KeyPolicy.parse(f'{{"Statement": {document.statement_text(index)}}}').statements[0]
        assert (alone.sid, alone.to_dict()) == (statement.sid, statement.to_dict())


@given(SEEDS)
def test_removals_leave_everything_else_byte_for_byte(seed: int) -> None:
    text, pick = oddly(seed)
    document = Document.of(text)
    removed: dict[int, frozenset[Principal] | None] = {}
    for statement in document.statements:
        named = statement.all_principals()
        if pick.random() < 0.3:
            removed[statement.index] = None
        elif pick.random() < 0.5 and named and statement.principals is not None:
            removed[statement.index] = frozenset(pick.sample(named, pick.randint(1, len(named))))
    expected = []
    for statement in document.statements:
        gone = removed.get(statement.index, frozenset())
        left = None if gone is None else [each for each in statement.all_principals() if each not in gone]
        if left or (left is not None and not gone):
            expected.append((statement, left))
    if not expected:
        with pytest.raises(UsageError, match="no statement would be left"):
            document.without(removed)
        return
    result = document.without(removed)
    assert around(result) == around(document)
    assert len(result.statements) == len(expected)
    for now, (before, left) in zip(result.statements, expected, strict=True):
        assert list(now.all_principals()) == left
        assert {**now.to_dict(), "Principal": 0} == {**before.to_dict(), "Principal": 0} or before.not_principals
        if before.index not in removed:
            assert result.statement_text(now.index) == document.statement_text(before.index)
    rest = iter(text)
    assert all(char in rest for char in result.text)  # nothing is new, and nothing changed its place


@given(SEEDS)
def test_statements_are_replaced_and_added_at_their_place(seed: int) -> None:
    text, pick = oddly(seed)
    document = Document.of(text)
    other = '{"Sid" : "new",\r\n "Effect":"Deny", "Principal":"*","Action":"kms:Decrypt","Resource":"*"}'
    number = len(document.statements)
    at, place = pick.randrange(number), pick.randint(0, number)
    result = document.edited([*document.addition([(place, other), (place, other)]), *document.replacement(at, other)])
    texts = [document.statement_text(index) for index in range(number)]
    texts[at] = other
    texts[place:place] = [other, other]
    assert [result.statement_text(index) for index in range(number + 2)] == texts
    assert around(result) == around(document)


@given(SEEDS)
def test_a_member_is_set_added_and_taken_out(seed: int) -> None:
    text, pick = oddly(seed)
    document = Document.of(text)
    at = pick.randrange(len(document.statements))
    path = document.path_of(at)
    condition = '{ "Bool":\t{"aws:SecureTransport": "true" }}'
    with_it = document.edited(document.member(path, "Condition", condition))
    assert with_it.text_of((*path, "Condition")) == condition
    without = with_it.edited(with_it.member(path, "Condition", None))
    assert without.statements[at].conditions == ()
    assert without.edited(without.member(path, "Condition", None)).text == without.text
    for index, before in enumerate(document.statements):
        for now in (with_it.statements[index], without.statements[index]):
            assert {**now.to_dict(), "Condition": 0} == {**before.to_dict(), "Condition": 0}
            if index != at:
                assert with_it.statement_text(index) == document.statement_text(index)
    old = document.text_of((*path, "Condition"))
    if old is not None:
        assert with_it.edited(with_it.member(path, "Condition", old)).text == text


STATEMENT = '"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"'


@pytest.mark.parametrize(
    ("text", "removed", "left"),
    [
        ('[{"Principal":"*",%}, {"Principal":"*", %}]', {0: None}, '[{"Principal":"*", %}]'),
        ('[ {"Principal":"*",%} ,\r\n{"Principal":"*", %}\r\n]', {1: None}, '[ {"Principal":"*",%}\r\n]'),
        ('[ {"Principal":"*",%} , {%,"Principal":"*"}]', {0: aws("*")}, '[ {%,"Principal":"*"}]'),
        (
            f'{{"Principal":{{"AWS":[ "{ALICE}" , "{BOB}" ]}},%}}',
            {0: aws(BOB)},
            f'{{"Principal":{{"AWS":[ "{ALICE}" ]}},%}}',
        ),
        (
            f'{{"Principal":{{"AWS":[\n"{ALICE}",\n"{BOB}"\n]}},%}}',
            {0: aws(ALICE)},
            f'{{"Principal":{{"AWS":[\n"{BOB}"\n]}},%}}',
        ),
        (
            f'{{"Principal":{{"AWS":["{ALICE}"], "Service": "sns.amazonaws.com" }},%}}',
            {0: aws(ALICE)},
            '{"Principal":{"Service": "sns.amazonaws.com" },%}',
        ),
        (
            '{"Principal":{"Service":"sns.amazonaws.com" , "AWS":["111122223333","444455556666"]},%}',
            {0: aws("arn:aws:iam::444455556666:root") | {parse_principal("Service", "sns.amazonaws.com")}},
            '{"Principal":{"AWS":["111122223333"]},%}',
        ),
        (
            f'[{{"Principal":{{"AWS":"{ALICE}"}},%}}, {{"Principal":{{"AWS":["{ALICE}","{ALICE}","{BOB}"]}},%}}]',
            {0: aws(ALICE), 1: aws(ALICE)},
            f'[{{"Principal":{{"AWS":["{BOB}"]}},%}}]',
        ),
    ],
)
def test_commas_and_white_space(text: str, removed: dict[int, frozenset[Principal] | None], left: str) -> None:
    head, tail = '{"Version":"2012-10-17" ,"Statement": ', ',\n"Id":"x"}\n'
    text, left = (head + each.replace("%", STATEMENT) + tail for each in (text, left))
    assert Document.of(text).without(removed).text == left


def test_one_statement_stays() -> None:
    text = f'{{"Statement":[{{"Principal":{{"AWS":"{ALICE}"}},{STATEMENT}}}]}}'
    for removed in ({0: None}, {0: aws(ALICE)}):
        with pytest.raises(UsageError, match="no statement would be left"):
            Document.of(text).without(removed)


def test_an_added_statement_stands_like_the_others() -> None:
    one, two, new = (f'{{"Sid":"{sid}","Principal":"*",{STATEMENT}}}' for sid in ("1", "2", "new"))
    document = Document.of(f'{{"Statement":[\r\n  {one},\r\n  {two}\r\n]}}')
    assert document.edited(document.addition([(2, new)])).text == (
        f'{{"Statement":[\r\n  {one},\r\n  {two},\r\n  {new}\r\n]}}'
    )
    assert document.edited(document.addition([(0, new)])).text == (
        f'{{"Statement":[\r\n  {new},\r\n  {one},\r\n  {two}\r\n]}}'
    )
    document = Document.of(f'{{"Statement":[\n\t{one}\n]}}')
    assert document.edited(document.addition([(1, new)])).text == f'{{"Statement":[\n\t{one},\n\t{new}\n]}}'
    document = Document.of(f'{{"Statement": {one}}}')
    assert document.edited(document.addition([(0, new), (1, two)])).text == f'{{"Statement": [{new}, {one}, {two}]}}'


def test_ids_of_deleted_users_and_roles_are_found_wherever_they_stand() -> None:
    named = json.dumps({"AWS": [GONE, ALICE, ALSO_GONE]})
    document = Document.of(f'{{"Statement":[{{"Principal":{named},{STATEMENT}}},{{"Principal":"*",{STATEMENT}}}]}}')
    assert deleted_principals(document) == {0: aws(GONE, ALSO_GONE)}
    left = document.without(deleted_principals(document))
    assert [str(each) for each in left.statements[0].all_principals()] == [ALICE]


def test_a_not_principal_of_deleted_identities_only_is_not_made_to_mean_everybody() -> None:
    text = '{{"Statement":{{"NotPrincipal":{{"AWS":{}}},{}}}}}'
    with pytest.raises(UsageError, match="everybody"):
        deleted_principals(Document.of(text.format(f'["{GONE}"]', STATEMENT)))
    document = Document.of(text.format(f'["{GONE}", "{ALICE}"]', STATEMENT))
    left = document.without(deleted_principals(document))
    assert [str(each) for each in left.statements[0].not_principals or ()] == [ALICE]


def test_a_policy_larger_than_kms_takes_is_refused() -> None:
    text = f'{{"Statement":[{{"Sid":"%","Principal":"*",{STATEMENT}}}]}}'
    full = text.replace("%", "x" * (MOST_POLICY_BYTES - len(text) + 1))
    assert len(Document.of(full).edited([]).text) == MOST_POLICY_BYTES
    with pytest.raises(UsageError, match="32,769 bytes"):
        Document.of(full + " ").edited([])
    with pytest.raises(UsageError, match="32,769 bytes"):  # bytes, not characters
        Document.of(full.replace("x", "é", 1)).edited([])


def test_a_byte_order_mark_is_not_part_of_the_policy() -> None:
    text = f'{{"Statement":[{{"Principal":"*",{STATEMENT}}}]}}'
    assert Document.of("\ufeff" + text).text == text


def test_a_policy_without_a_text_gets_one() -> None:
    policy = KeyPolicy.default("111122223333")
    assert Document.of_policy(policy).policy == policy
    read = KeyPolicy.parse(f'{{ "Statement":[{{"Principal":"*",{STATEMENT}}}]}}')
    assert Document.of_policy(read).text == read.source
