"""Ed25519 keys and signatures (RFC 8032), all written in hexadecimal digits."""

import re
import secrets
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_BYTES, SIGNATURE_BYTES = 32, 64


class InvalidKey(ValueError):
    """This is not a key."""


class KeyPair(NamedTuple):
    """Who has the private one signs; the public one tells whether it was them."""

    private: str
    public: str


def new_key() -> KeyPair:
    """A key that nobody else has."""
    private = secrets.token_hex(KEY_BYTES)
    return KeyPair(private, public_key(private))


def public_key(private: str) -> str:
    """The public half of a private key; raises `InvalidKey`."""
    return _private(private).public_key().public_bytes_raw().hex()


def sign(private: str, message: bytes) -> str:
    """The signature of `message`; raises `InvalidKey`."""
    return _private(private).sign(message).hex()


def is_signed(public: str, message: bytes, signature: str) -> bool:
    """Whether the owner of that public key has signed `message`; nobody owns what is no key."""
    if not (is_key(public) and _is_hex(signature, SIGNATURE_BYTES)):
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), message)
    except (ValueError, InvalidSignature):
        return False
    return True


def is_key(text: str) -> bool:
    """Whether this has the form of a key."""
    return _is_hex(text, KEY_BYTES)


def _private(key: str) -> Ed25519PrivateKey:
    if not is_key(key):
        raise InvalidKey(f"A key is {2 * KEY_BYTES} hexadecimal digits (0-9, a-f).")
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))


def _is_hex(text: str, length: int) -> bool:
    return re.fullmatch(f"[0-9a-f]{{{2 * length}}}", text) is not None
