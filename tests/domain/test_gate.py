"""What is shown at a gate without being a ticket."""

from domain.gate import Unmatched
from tests.domain.given import DOORS, STRANGE, entry, last

FORGERY = "a secret of nobody"


def shown(secret: str = FORGERY) -> Unmatched:
    return Unmatched.present(secret, entry(), "invalid", None, DOORS)


def test_a_forgery_is_kept_with_the_scan():
    fact = last(shown())
    assert isinstance(fact, Unmatched.Presented)
    assert (fact.scan, fact.reason, fact.ticket_id) == (entry(), "invalid", None)


def test_the_secret_itself_is_not_kept():
    assert FORGERY not in repr(vars(last(shown())))


def test_attempts_with_the_same_forgery_stand_together():
    forged = shown()
    forged.present_again(entry(location="south"), "unpaid", STRANGE, DOORS)
    fact = last(forged)
    assert isinstance(fact, Unmatched.PresentedAgain)
    assert (fact.scan.location, fact.reason, fact.ticket_id) == ("south", "unpaid", STRANGE)
    assert forged.attempts == 2


def test_another_forgery_stands_apart():
    assert shown().id == Unmatched.id_for(FORGERY)
    assert shown("another").id != shown().id
