"""Keys for tests that are not about who may do what."""

from benchmarks.servers import service_key

__all__ = ["bearer", "service_key"]


def bearer(secret: str) -> dict[str, str]:
    """The header that shows a key or a token."""
    return {"Authorization": f"Bearer {secret}"}
