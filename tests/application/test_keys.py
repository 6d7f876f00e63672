"""Ed25519, held to the vectors of RFC 8032 (section 7.1)."""

import pytest

from application import keys

PRIVATE = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
MESSAGE = b"\x72"
SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_keys_and_signatures_are_those_of_the_standard():
    assert keys.public_key(PRIVATE) == PUBLIC
    assert keys.sign(PRIVATE, MESSAGE) == SIGNATURE
    assert keys.is_signed(PUBLIC, MESSAGE, SIGNATURE)


def test_nothing_else_counts_as_signed():
    other = keys.new_key()
    assert not keys.is_signed(PUBLIC, b"\x73", SIGNATURE)
    assert not keys.is_signed(other.public, MESSAGE, SIGNATURE)
    assert not keys.is_signed(PUBLIC, MESSAGE, keys.sign(other.private, MESSAGE))
    for forged in ("", "00" * 64, SIGNATURE[:-2], SIGNATURE + "00", "x" * 128):
        assert not keys.is_signed(PUBLIC, MESSAGE, forged)
    for public in ("", "00" * 31, "ff" * 32, "x" * 64):
        assert not keys.is_signed(public, MESSAGE, SIGNATURE)


def test_new_keys_differ_and_work():
    one, other = keys.new_key(), keys.new_key()
    assert one.private != other.private
    assert keys.is_signed(one.public, MESSAGE, keys.sign(one.private, MESSAGE))


@pytest.mark.parametrize("text", ["", "4ccd", "x" * 64, PRIVATE.upper(), PRIVATE + "00"])
def test_what_is_no_key_is_refused_without_being_shown(text: str):
    with pytest.raises(keys.InvalidKey) as refusal:
        keys.sign(text, MESSAGE)
    assert not text or text not in str(refusal.value)
