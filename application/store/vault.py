"""Encryption: customers' keys, what they seal, and the master key that wraps them (AES-256-GCM)."""

import hmac
import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES, NONCE_BYTES = 32, 12
DEVELOPMENT_KEY = "00" * KEY_BYTES
"""Known to everybody: good for trying things out, and refused in production."""


class WrongMasterKey(Exception):
    """A customer's key was wrapped by another master key than this one, or it was altered."""


class Vault:
    """Wraps and unwraps customers' keys; the master key is 64 hexadecimal digits.

    A key is wrapped for one customer: in another one's place it does not open. What is secret for
    a day only is sealed without a key of its own.
    """

    def __init__(self, master_key: str = DEVELOPMENT_KEY) -> None:
        master = bytes.fromhex(master_key)
        self._master = AESGCM(master)
        self._answers = AESGCM(_derived(master, b"turnstile answers"))
        self._fingerprints = _derived(master, b"turnstile fingerprints")

    def wrap(self, customer_id: UUID, key: bytes) -> bytes:
        """The key as it may be stored."""
        return encrypted(self._master, key, customer_id.bytes)

    def unwrap(self, customer_id: UUID, wrapped: bytes) -> bytes:
        """The key itself; raises `WrongMasterKey`."""
        try:
            return decrypted(self._master, wrapped, customer_id.bytes)
        except InvalidTag:
            raise WrongMasterKey(
                f"The key of customer {customer_id} was not wrapped by this master key."
                " Set MASTER_KEY to the one that wrapped it; docs/privacy.md says what to do if it"
                " is lost."
            ) from None

    def seal(self, content: bytes, place: UUID) -> bytes:
        """The content as it may be stored in that place."""
        return encrypted(self._answers, content, place.bytes)

    def open(self, sealed: bytes, place: UUID) -> bytes:
        """What was sealed for that place; raises `InvalidTag` if it was sealed for another one, or
        with another master key."""
        return decrypted(self._answers, sealed, place.bytes)

    def fingerprint(self, content: bytes) -> str:
        """A keyed digest: without the master key, guesses cannot be checked against it."""
        return hmac.digest(self._fingerprints, content, "sha256").hex()


def new_key() -> bytes:
    """A key that nobody else has."""
    return AESGCM.generate_key(8 * KEY_BYTES)


def encrypted(cipher: AESGCM, content: bytes, place: bytes) -> bytes:
    """A random nonce and the ciphertext, which opens only with the same `place`."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, content, place)


def decrypted(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    """What `encrypted` made that of; raises `InvalidTag` for another key, place or content."""
    return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)


def _derived(master: bytes, purpose: bytes) -> bytes:
    """A key for that purpose, which tells nothing of the master key (RFC 5869)."""
    return HKDFExpand(SHA256(), KEY_BYTES, purpose).derive(master)
