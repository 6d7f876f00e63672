"""Settings as others see them."""

from application import keys
from application.settings import Settings


def test_settings_show_no_secret() -> None:
    settings = Settings(checkpoint_key=keys.new_key().private)
    shown = repr(settings)
    for secret in (settings.secret_key, settings.master_key, str(settings.checkpoint_key)):
        assert secret not in shown
