"""A port that is taken is said so, before anything is started."""

import socket

import pytest
from click.testing import CliRunner

from web.cli import main


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_taken_port_ends_the_command_with_advice(
    command: str, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", migrated_sqlite_url)
    monkeypatch.setenv("HOST", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("PORT", str(taken.getsockname()[1]))
        result = CliRunner().invoke(main, [command])
    assert result.exit_code == 1
    assert "Address already in use. Choose another with --port." in result.output
