"""Where things are in the object store."""

import pytest

from lift.errors import MalformedName
from storage import keys
from storage.records import RevisionRef

REF = RevisionRef(tenant="acme", adapter="handbook", digest="d" * 64)


def test_every_key_starts_with_the_tenant() -> None:
    found = [
        keys.document("acme", "doc-1", "a" * 64),
        keys.revision(REF, "adapter_model.safetensors"),
        keys.adapter("acme", "handbook"),
        keys.journal("acme", "job-1"),
    ]
    assert all(key.startswith("acme/") for key in found)


def test_what_a_tenant_has_lies_below_its_prefixes() -> None:
    found = [keys.document("acme", "doc-1", "a" * 64), keys.revision(REF, "x"), keys.journal("acme", "job-1")]
    assert all(key.startswith(prefix) for key, prefix in zip(found, keys.tenant("acme"), strict=True))
    assert found[0].startswith(keys.document_prefix("acme", "doc-1"))


def test_a_revision_lies_below_its_adapter() -> None:
    assert keys.revision(REF, "manifest.json").startswith(keys.adapter("acme", "handbook"))
    assert keys.revision(REF, "manifest.json") == keys.revisions("acme", "handbook") + f"{REF.digest}/manifest.json"
    assert keys.revision(REF, "manifest.json") == keys.revision_prefix(REF) + "manifest.json"


def test_the_prefix_of_one_adapter_is_not_that_of_another() -> None:
    other = RevisionRef(tenant="acme", adapter="handbook-2", digest="d" * 64)
    assert not keys.revision(other, "manifest.json").startswith(keys.adapter("acme", "handbook"))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a\0b", "a\n", "ä", "a" * 129]
)
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(MalformedName):
        keys.revision(REF, name)
    with pytest.raises(MalformedName):
        keys.document(name, "doc-1", "a" * 64)
