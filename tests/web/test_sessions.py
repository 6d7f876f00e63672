"""Sessions: from the log-in to the log-out, and the tokens that they come with."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from sqlalchemy import select, update

from application.access import accounts, sessions
from application.access.identity import Unauthorized
from application.composition import compose
from application.store.database import writing
from application.store.tables import sessions as sessions_table
from tests.keys import bearer
from tests.web.conftest import BoxOffice, Json
from tests.web.people import log_in, registered, status_of
from tests.web.world import PASSWORD


def test_logging_out_ends_the_session_and_no_other(anybody: BoxOffice):
    body, first = registered(anybody)
    second = log_in(anybody, body)
    assert status_of(anybody, first["access_token"]) == 200
    out = anybody.send("POST", "/api/v1/auth/logout", headers=bearer(first["access_token"]))
    assert out.status_code == 204
    assert status_of(anybody, first["access_token"]) == 401
    refresh = {"refresh_token": first["refresh_token"]}
    anybody.post("/api/v1/auth/refresh", refresh, 401)
    assert status_of(anybody, second["access_token"]) == 200


def test_a_log_out_ends_the_session_in_other_processes_at_once(
    anybody: BoxOffice, office: BoxOffice
):
    other_process = compose(office.turnstile.settings)
    other = BoxOffice(other_process, {})
    _, tokens = registered(anybody)
    assert status_of(other, tokens["access_token"]) == 200
    anybody.send("POST", "/api/v1/auth/logout", headers=bearer(tokens["access_token"]))
    assert status_of(other, tokens["access_token"]) == 401
    other_process.close()


def test_a_refresh_token_is_good_once_and_a_second_time_ends_the_session(anybody: BoxOffice):
    _, first = registered(anybody)
    second = anybody.post("/api/v1/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert status_of(anybody, second["access_token"]) == 200
    third = anybody.post("/api/v1/auth/refresh", {"refresh_token": second["refresh_token"]})
    anybody.post("/api/v1/auth/refresh", {"refresh_token": second["refresh_token"]}, 401)
    anybody.post("/api/v1/auth/refresh", {"refresh_token": third["refresh_token"]}, 401)
    assert status_of(anybody, third["access_token"]) == 401


def test_a_session_ends_a_lifetime_after_its_latest_refresh(anybody: BoxOffice, office: BoxOffice):
    _, tokens = registered(anybody)
    mine = sessions_table.c.account_id == UUID(tokens["account"]["id"])
    soon = datetime.now(UTC) + timedelta(minutes=1)
    with writing(office.turnstile.engine) as connection:
        connection.execute(update(sessions_table).where(mine).values(expires_at=soon))
    before = datetime.now(UTC)
    anybody.post("/api/v1/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    with office.turnstile.engine.connect() as connection:
        ends = connection.execute(select(sessions_table.c.expires_at).where(mine)).scalar_one()
    assert before <= ends - sessions.LIFETIME <= datetime.now(UTC)


def test_a_log_in_does_not_outlive_a_password_that_is_changed_meanwhile(office: BoxOffice):
    access, address = office.turnstile.access, f"{uuid4()}@example.org"
    made = accounts.create(access, address, PASSWORD, "auditor")
    account, held_against = accounts.log_in(access, address, PASSWORD)
    changed = accounts.prepare_password(access, made.id, PASSWORD, "another horse battery")
    with access.changing() as connection:
        accounts.set_password(connection, changed)
    with pytest.raises(Unauthorized), access.changing() as connection:
        sessions.begin(connection, account, held_against)


def _claims(office: BoxOffice, token: str, **changes: Any) -> Json:
    key = office.turnstile.settings.secret_key
    options: Any = {"verify_aud": False}
    return {**jwt.decode(token, key, algorithms=["HS256"], options=options), **changes}


def test_forged_tokens_are_refused(anybody: BoxOffice, office: BoxOffice):
    _, tokens = registered(anybody)
    key, claims = office.turnstile.settings.secret_key, _claims(office, tokens["access_token"])
    good = jwt.encode(claims, key, "HS256")
    assert status_of(anybody, good) == 200
    forged = [
        jwt.encode(claims, "", "none"),
        jwt.encode(claims, "another key, which is also long enough", "HS256"),
        jwt.encode(claims, key * 2, "HS512"),
        jwt.encode({**claims, "exp": claims["iat"] - 1}, key, "HS256"),
        jwt.encode({**claims, "nbf": claims["iat"] + 3600}, key, "HS256"),
        jwt.encode({**claims, "aud": "somebody else"}, key, "HS256"),
        jwt.encode({**claims, "iss": "somebody else"}, key, "HS256"),
        jwt.encode({**claims, "sid": str(uuid4())}, key, "HS256"),
        jwt.encode({**claims, "sid": "1' OR '1'='1"}, key, "HS256"),
        jwt.encode({name: value for name, value in claims.items() if name != "exp"}, key, "HS256"),
        good[:-2],
        good.replace(".", "", 1),
        "turnstile_",
        "null",
        tokens["refresh_token"],
    ]
    assert [status_of(anybody, token) for token in forged] == [401] * len(forged)
    swapped = {"refresh_token": tokens["access_token"]}
    anybody.post("/api/v1/auth/refresh", swapped, 401)


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "bearer\ttoken", "x" * 9000])
def test_a_header_that_says_nothing_is_refused(anybody: BoxOffice, header: str):
    answer = anybody.send("GET", "/api/v1/events", headers={"Authorization": header})
    assert answer.status_code == 401
