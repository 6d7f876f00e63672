"""Encryption: customers' keys, what they seal, and the master key that wraps them (AES-256-GCM)."""

import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES, NONCE_BYTES = 32, 12
DEVELOPMENT_KEY = "00" * KEY_BYTES
"""Known to everybody: good for trying things out, and refused in production."""


class WrongMasterKey(Exception):
    """A customer's key was wrapped by another master key than this one, or it was altered."""


class Vault:
    """Wraps and unwraps customers' keys; the master key is 64 hexadecimal digits.

    A key is wrapped for one customer: in another one's place it does not open.
    """

    def __init__(self, master_key: str = DEVELOPMENT_KEY) -> None:
        self._master = AESGCM(bytes.fromhex(master_key))

    def wrap(self, customer_id: UUID, key: bytes) -> bytes:
        """The key as it may be stored."""
        return encrypted(self._master, key, customer_id.bytes)

    def unwrap(self, customer_id: UUID, wrapped: bytes) -> bytes:
        """The key itself; raises `WrongMasterKey`."""
        try:
            return decrypted(self._master, wrapped, customer_id.bytes)
        except InvalidTag:
            raise WrongMasterKey(
                f"The key of customer {customer_id} does not open with this MASTER_KEY."
            ) from None


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
