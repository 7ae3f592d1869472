"""Documents for machines: valid, and within any limit, with what was left out said."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.notify.documents import SHORTENED, document_of, envelope, json_bytes, shrunk
from keytrail.notify.safe import ascii_only, for_card, for_chat, for_slack, inert, slack_code
from tests.notify.conftest import HOSTILE, hostile, message


def large() -> dict[str, object]:
    found = dict(message().alert)
    found["keytrail.investigation"] = {
        **found["keytrail.investigation"],  # type: ignore[dict-item]
        "timeline": {"items": ["x" * 100] * 1000},
        "actor": {"acts": ["y" * 100] * 500},
        "findings": ["z" * 100] * 10,
    }
    return found | {"kibana.alert.rule.note": "n" * 30_000, "message": "m" * 20_000}


@pytest.mark.parametrize("most", [200_000, 120_000, 60_000, 20_000, 8_000, 4_000, 2_000])
def test_a_document_fits_and_says_what_was_left_out(most: int) -> None:
    made = shrunk(large(), most)
    assert len(json_bytes(made)) <= most
    assert made["kibana.alert.uuid"] == f"{1:064x}"
    found = made["keytrail.investigation"]
    assert isinstance(found, dict)
    assert found["verdict"] == "malicious"
    if most < 150_000:
        shortened = made[SHORTENED]
        assert isinstance(shortened, list)
        assert shortened[0] == "keytrail.investigation.timeline", "the largest section of the investigation first"
        assert "timeline" not in found


def test_a_document_that_fits_is_left_as_it_is() -> None:
    assert shrunk(large(), 1_000_000) == large()
    assert document_of(message()) == {
        **message().alert, "keytrail.message.id": "message-1-new", "keytrail.message.reason": "new",
    }  # fmt: skip


def test_an_envelope_fits_with_its_texts() -> None:
    huge = message(text=HOSTILE * 1000)
    for most in (20_000, 100_000):
        assert len(json_bytes(envelope(huge, most))) <= most


def test_hostile_texts_are_valid_json_and_come_back_as_they_were() -> None:
    told = json.loads(json_bytes(document_of(hostile())).decode("ascii"))
    assert told["event"]["action"] == HOSTILE.replace("\ud800", "\ufffd"), "a lone surrogate is no text"


@given(st.text(st.characters(), max_size=400), st.integers(1, 300))
def test_whatever_the_text_nothing_of_it_acts(text: str, most: int) -> None:
    safe = inert(text, most)
    assert len(safe) <= most
    assert safe.isprintable()
    assert "://" not in safe
    assert slack_code(safe).count("`") == 2
    assert not set("<>") & set(for_slack(safe))
    assert not set("@<>*_`~[]|") & set(for_chat(safe))
    assert "{{" not in for_card(safe)
    assert "}}" not in for_card(safe)
    subject = ascii_only(safe, 100)
    assert subject.isascii()
    assert subject.isprintable()
    assert len(subject) <= 100
