"""Sets of texts: membership against the plain matcher, intersections and complements against trying all short words."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.policy.patterns import arn_match, glob_match, template
from keytrail.policy.prover.checks import fillings, text_language
from keytrail.policy.prover.globs import Language
from keytrail.policy.prover.words import Meter, find_words

GLOB = st.text("ab*?", max_size=5)
TEXT = st.text("abcA", max_size=6)
SHORT = ["".join(word) for size in range(6) for word in product("abx", repeat=size)]


def language(family: str, *patterns: str) -> Language:
    return text_language(family, [template(pattern, variables=False) for pattern in patterns])


@given(st.lists(GLOB, min_size=1, max_size=3), TEXT)
def test_a_union_of_globs_has_the_members_of_each(patterns: list[str], text: str) -> None:
    assert (text in language("like", *patterns)) is any(glob_match(pattern, text) for pattern in patterns)


ARN_PIECE = st.text("a*?:", max_size=3)


@given(st.lists(ARN_PIECE, min_size=6, max_size=6), st.lists(st.text("a:b", max_size=2), min_size=4, max_size=7))
def test_arn_patterns_do_not_cross_colons(pattern: list[str], text: list[str]) -> None:
    wanted = ":".join(pattern)
    given_ = ":".join(text)
    assert (given_ in language("arn", wanted)) is arn_match(template(wanted, variables=False), given_)


@given(st.text("aAkKß\u212aéÉ*", max_size=4), st.text("aAkKß\u212a\u1e9eéÉ*", max_size=4))
def test_ignoring_case_is_equality_of_lower_case(pattern: str, text: str) -> None:
    assert (text in language("ignore-case", pattern)) is (pattern.lower() == text.lower())


@settings(deadline=None)
@given(st.lists(GLOB, max_size=3), st.lists(GLOB, max_size=3), st.integers(1, 4))
def test_words_are_in_all_required_and_in_no_forbidden_language(
    required: list[str], forbidden: list[str], count: int
) -> None:
    inside, outside = [language("like", p) for p in required], [language("like", p) for p in forbidden]
    words = find_words(inside, outside, Meter(10**6), count=count)
    assert len(set(words.texts)) == len(words.texts) <= count
    for text in words.texts:
        assert all(glob_match(p, text) for p in required)
        assert not any(glob_match(p, text) for p in forbidden)
    if len(words.texts) < count:
        assert words.complete
        found = [
            text
            for text in SHORT
            if all(glob_match(p, text) for p in required) and not any(glob_match(p, text) for p in forbidden)
        ]
        # Words are representatives: where x stands for any other character there are more than are listed.
        assert set(found) <= set(words.texts)


@given(st.text("ab", max_size=2), GLOB, st.text("ab", max_size=2), TEXT)
def test_a_quotient_holds_what_fits_between_two_texts(before: str, pattern: str, after: str, text: str) -> None:
    whole = language("like", pattern)
    assert (text in whole.quotient(before, after)) is (before + text + after in whole)


@given(st.text("ab*?", max_size=3), st.text("ab*?", max_size=3), st.text("ab", max_size=5))
def test_fillings_are_what_a_variable_can_be(before: str, after: str, text: str) -> None:
    head, tail = template(before, variables=False), template(after, variables=False)
    found = fillings("like", head, tail, text)
    candidates = {text[i:j] for i in range(len(text) + 1) for j in range(i, len(text) + 1)}
    expected = {
        each
        for each in candidates
        if text in text_language("like", [tuple(p for p in (*head, each, *tail) if p != "")])
    }
    assert found is not None
    assert set(found) == expected
