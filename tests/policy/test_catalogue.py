"""The catalogue: it is complete, it agrees with itself, and patterns expand as AWS reads them."""

from __future__ import annotations

import pytest

from keytrail.policy import KeyPolicy, actions_of, catalogue, expand


def test_it_is_as_large_as_the_reference_says():
    assert len(catalogue().actions) == 58
    assert len(catalogue().key_actions()) == 47
    assert sum(action.cross_account for action in catalogue().actions.values()) == 22
    assert catalogue().date == "2026-11-25"


def test_it_agrees_with_itself():
    known = {action.name for action in catalogue().actions.values()}
    for action in catalogue().actions.values():
        assert action.group in catalogue().groups
        assert action.key_level or not (action.cross_account or action.grant)
    for key in (*catalogue().keys.values(), *catalogue().families):
        assert key.actions is None or key.actions <= known
        assert key.type in ("String", "Arn", "Bool", "Numeric", "Date", "IpAddress")
        assert key.presence in ("always", "sometimes", "caller")
        assert key.trust in ("yes", "no", "value", "network", "service")
        assert key.callers in (None, "iam", "service")


def test_groups_run_from_the_gravest_to_the_least():
    groups = catalogue().groups
    assert groups[:4] == ("policy", "grants", "decrypt", "derive")
    assert [a.name for a in catalogue().group("policy")] == ["kms:PutKeyPolicy"]
    assert {a.name for a in catalogue().group("decrypt")} == {"kms:Decrypt", "kms:ReEncryptFrom"}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("kms:decrypt", "Decrypt"),
        ("KMS:Re?ncrypt*", "ReEncryptFrom ReEncryptTo"),
        ("*:Sign", "Sign"),
        (
            "k*n",
            "Sign CancelKeyDeletion EnableKeyRotation DisableKeyRotation UpdateKeyDescription UpdatePrimaryRegion "
            "ScheduleKeyDeletion",
        ),
        ("kms:Delete*", "DeleteAlias DeleteImportedKeyMaterial"),
        ("kms:Create*", "CreateAlias CreateGrant"),
        ("kms:CreateKey", ""),
        ("kms:ListKeys", ""),
        ("s3:*", ""),
        ("Decrypt", ""),
        ("", ""),
        ("kms:Decrypt ", ""),
    ],
)
def test_patterns(pattern, names):
    assert expand(pattern) == {f"kms:{name}" for name in names.split()}


def test_everything_is_every_action_on_a_key():
    everything = {action.name for action in catalogue().key_actions()}
    assert expand("*") == expand("kms:*") == expand("*:*") == everything
    statement = KeyPolicy.parse({"Statement": {"Effect": "Deny", "Principal": "*", "NotAction": ["kms:D*", "s3:*"]}})
    assert actions_of(statement.statements[0]) == everything - expand("kms:D*")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("KMS:viaservice", "kms:ViaService"),
        ("kms:EncryptionContext:aws:s3:arn", "kms:EncryptionContext:*"),
        ("kms:EncryptionContextKeys", "kms:EncryptionContextKeys"),
        ("kms:EncryptionContext:", None),
        ("kms:RecipientAttestation:PCR0", "kms:RecipientAttestation:*"),
        ("aws:PrincipalTag/a/b", "aws:PrincipalTag/*"),
        ("aws:PrincipalTag", None),
        ("aws:frobnicate", None),
    ],
)
def test_keys(key, name):
    found = catalogue().key(key)
    assert (found.name if found else None) == name


def test_what_is_known_of_keys():
    key = catalogue().key
    assert key("kms:GrantOperations").multi
    assert key("aws:PrincipalOrgPaths").multi
    assert not key("kms:ViaService").multi
    assert key("kms:GrantOperations").present_on("kms:CreateGrant")
    assert not key("kms:GrantOperations").present_on("kms:Decrypt")
    assert not key("kms:EncryptionContext:a").present_on("kms:DescribeKey")
    assert key("kms:CallerAccount").trust == "yes"
    for bounds_nobody in ("kms:ViaService", "kms:EncryptionContext:a", "aws:PrincipalTag/a", "aws:ResourceAccount"):
        assert key(bounds_nobody).trust == "no"


def test_the_newest_actions_are_marked():
    newer = {action.name for action in catalogue().actions.values() if action.newer_than}
    assert {"kms:Encapsulate", "kms:Decapsulate", "kms:GetKeyLastUsage", "kms:DeriveSharedSecret"} <= newer
