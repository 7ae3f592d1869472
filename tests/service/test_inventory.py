"""The inventory file: CSV and JSON as people have them, each line with its place, and what is wrong with a bad one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keytrail.errors import UsageError
from keytrail.investigate.model import InventoryEntry
from keytrail.service import inventory as module
from keytrail.service.inventory import COLUMNS, NAMES, read_inventory

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def read(tmp_path: Path, content: str | bytes, name: str = "cmdb") -> list[InventoryEntry]:
    """The entries of a file, with their places relative to its folder."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    entries = []
    for entry in read_inventory(str(path)).entries:
        assert entry.place.startswith(str(path))
        place = entry.place.removeprefix(f"{tmp_path}/")
        entries.append(InventoryEntry(entry.matched, entry.owner, entry.application, entry.data_class, place))
    return entries


def refused(tmp_path: Path, content: str | bytes) -> str:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, content)
    assert caught.value.advice
    assert "RecordError" not in str(caught.value)
    return str(caught.value).replace(f"{tmp_path}/", "")


LEDGER = InventoryEntry("ledger", "Payments", "Cards", "confidential", "cmdb:2")


@pytest.mark.parametrize(
    "content",
    [
        "resource,owner,application,data_class\nledger,Payments,Cards,confidential\n",
        "resource;owner;application;data_class\r\nledger;Payments;Cards;confidential\r\n",
        "resource\towner\tapplication\tdata_class\nledger\tPayments\tCards\tconfidential",
        "\ufeffData Classification,APP,Cost Center,Team,Resource ARN\nconfidential, Cards ,7,Payments,ledger\n",
        '"resource","owner","application","data_class"\n"ledger","Payments","Cards","confidential"\n',
        # The first column that is filled counts, of several for the same.
        "owner,team,resource,application,classification\n,Payments,ledger,Cards,confidential\n",
        "owner,team,arn,app,sensitivity,more\nPayments,Others,ledger,Cards,confidential,1,2,3\n",
        '\n{"resource": "ledger", "owner": "Payments", "application": "Cards", "data_class": "confidential"}\n{}\n',
    ],
)
def test_a_line_is_read_whatever_the_spelling(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content) == [LEDGER]


def test_every_column_may_have_each_of_its_names(tmp_path: Path) -> None:
    for meaning, names in COLUMNS.items():
        for name in names:
            found = read(tmp_path, json.dumps([{name: "alias/x", **({} if meaning in NAMES else {"key": "k"})}]))
            assert "alias/x" in (found[0].matched, getattr(found[0], meaning, ""))


def test_a_line_is_an_entry_for_each_name_that_it_gives(tmp_path: Path) -> None:
    content = (
        f"key,alias,resource,owner\n{KEY},payments,,A\n,alias/x,table/cards,B\n,arn:aws:kms:r:1:alias/y,,C\n,,,D\n"
    )
    assert [(entry.matched, entry.owner, entry.place) for entry in read(tmp_path, content)] == [
        (KEY, "A", "cmdb:2"),
        ("alias/payments", "A", "cmdb:2"),
        ("table/cards", "B", "cmdb:3"),
        ("alias/x", "B", "cmdb:3"),
        ("arn:aws:kms:r:1:alias/y", "C", "cmdb:4"),
    ]


def test_the_place_is_the_line_where_a_row_begins(tmp_path: Path) -> None:
    content = 'resource,owner\n\na,"two\nlines"\nb,"say ""yes"""\n'
    assert [(entry.place, entry.owner) for entry in read(tmp_path, content)] == [
        ("cmdb:3", "two\nlines"),
        ("cmdb:5", 'say "yes"'),
    ]


ITEMS = [
    {"key": KEY, "Owner": "A"},
    {"note": "nothing"},
    {"Resource-ARN": "ledger", "owner": None, "team": 7, "tags": {}},
]


def test_json_comes_as_a_list_in_an_object_or_by_the_line(tmp_path: Path) -> None:
    listed = [(KEY, "A", "cmdb [0]"), ("ledger", "7", "cmdb [2]")]
    lines = [(KEY, "A", "cmdb:1"), ("ledger", "7", "cmdb:4")]
    for content, expected in (
        (json.dumps(ITEMS, indent=2), listed),
        (json.dumps({"version": 1, "resources": ITEMS}), listed),
        ("{}\n\n{}\n{}\n".format(*map(json.dumps, ITEMS)), [lines[0], lines[1]]),
        (json.dumps(ITEMS[0], indent=2), listed[:1]),
    ):
        assert [(entry.matched, entry.owner, entry.place) for entry in read(tmp_path, content)] == expected


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        ("", "cmdb: ", "is empty"),
        (" \n\n", "cmdb: ", "is empty"),
        ("name,owner\nledger,A\n", "cmdb:1: ", "no column that says what a line is about"),
        ("resource,owner\n,A\n", "cmdb: ", "no line of the inventory names"),
        ("resource,owner\na,A\nb,B\xff\n".encode("latin-1"), "cmdb:3: ", "not UTF-8 text"),
        ('resource,owner\na,A\nb,"B"x\n', "cmdb:3: ", "not CSV"),
        ('resource,owner\na,A\nb,"B\n' + "c,C\n" * 3, "cmdb:3: ", "not CSV"),
        ('resource,owner\na,A\nb,"' + "C" * 200_000 + '"\n', "cmdb:3: ", "not CSV"),
        ('[{"key": "a"},\n {"key": }]', "cmdb:2:10: ", "not JSON"),
        ('{"key": "a"}\n{"key": "b"\n', "cmdb:2:", "not JSON"),
        ('{"key": "a"}\n["b"]\n', "cmdb:2: ", "must be an object"),
        ('[{"key": "a"}, "b"]', "cmdb [1]: ", "must be an object"),
        ('[{"key": "a", "owner": ["A", "B"]}]', "cmdb [0]: ", "owner must be a text"),
        ('[{"key": true}]', "cmdb [0]: ", "key must be a text"),
        ("[" * 100_000, "cmdb:1", "nested deeper than 32 levels"),
        ('{"resources": 7}', "cmdb [0]: ", "must be an object"),
        ("[]", "cmdb: ", "no line of the inventory names"),
    ],
)
def test_a_bad_file_is_refused_with_the_place_and_what_to_do(
    tmp_path: Path, content: str | bytes, where: str, what: str
) -> None:
    message = refused(tmp_path, content)
    assert message.startswith(where)
    assert what in message


def test_a_file_that_cannot_be_read_or_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (str(tmp_path), str(tmp_path / "missing.csv"), "a\0b"):
        with pytest.raises(UsageError) as caught:
            read_inventory(path)
        assert caught.value.advice
    monkeypatch.setattr(module, "MOST_BYTES", 1024**2)
    assert "larger than 1 MB" in refused(tmp_path, "resource,owner\n" + "ledger,Payments\n" * 70_000)
