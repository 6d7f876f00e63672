"""Access and refresh tokens (JWT, signed by SECRET_KEY) of a person's session.

An access token is short-lived, and good only while its session is: logging out, another
password or a disabled account end it at once.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import PyJWTError

from application.access import sessions
from application.access.accounts import Account
from application.access.identity import Unauthorized
from application.settings import Settings

ACCESS_LIFETIME = timedelta(minutes=15)
ACCESS, REFRESH = "access", "refresh"
SESSION = "sid"


def sign_tokens(app: Flask, settings: Settings) -> None:
    """Let `app` make and read tokens."""
    app.config.update(
        JWT_SECRET_KEY=settings.secret_key,
        JWT_ALGORITHM="HS256",
        JWT_ACCESS_TOKEN_EXPIRES=ACCESS_LIFETIME,
        JWT_REFRESH_TOKEN_EXPIRES=sessions.LIFETIME,
        JWT_ENCODE_ISSUER="turnstile",
        JWT_DECODE_ISSUER="turnstile",
        JWT_ENCODE_AUDIENCE="turnstile",
        JWT_DECODE_AUDIENCE="turnstile",
    )
    JWTManager(app)


def tokens(account: Account, session_id: UUID, refresh_id: UUID) -> dict[str, Any]:
    """What logging in and refreshing answer with."""
    subject, session = str(account.id), str(session_id)
    refresh = {SESSION: session, "rid": str(refresh_id)}
    return {
        "access_token": create_access_token(subject, additional_claims={SESSION: session}),
        "refresh_token": create_refresh_token(subject, additional_claims=refresh),
        "token_type": "Bearer",  # nosec B105 # how to send it
        "expires_in": int(ACCESS_LIFETIME.total_seconds()),
        "account": account,
    }


def refresh_ids(token: str) -> tuple[UUID, UUID]:
    """The session of a refresh token, and the token's own id."""
    claims = _claims(token, REFRESH)
    return _uuid(claims.get(SESSION)), _uuid(claims.get("rid"))


def session_of_access(token: str) -> UUID:
    """The session of an access token."""
    return _uuid(_claims(token, ACCESS).get(SESSION))


def _claims(token: str, kind: str) -> dict[str, Any]:
    """Raises `Unauthorized` for a token that is not ours, has expired, or is of another kind."""
    try:
        claims: dict[str, Any] = decode_token(token)
    except (PyJWTError, JWTExtendedException, ValueError, RecursionError):
        raise Unauthorized("The token is not valid, or has expired.") from None
    if "exp" not in claims:
        raise Unauthorized("A token that never expires is not ours.")
    if claims.get("type") != kind:
        raise Unauthorized(f"This is not {'an access' if kind == ACCESS else 'a refresh'} token.")
    return claims


def _uuid(text: Any) -> UUID:
    try:
        return UUID(text)
    except (ValueError, TypeError, AttributeError):
        raise Unauthorized("The token is not valid, or has expired.") from None
