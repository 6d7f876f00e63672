"""The command line of personal data: secrets, erasing, retention, and keys carried elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from application import keys
from tests.e2e.test_command_line import RECORD
from tests.services import SECRETS
from web.cli import main

ANNA = ("customer", "4711", "--source", "shop")
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"

Run = Callable[..., Result]


@pytest.fixture
def run(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("retention")` is what `turnstile retention` comes to, where a record was imported."""
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    monkeypatch.chdir(tmp_path)
    Path("record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in RECORD))

    def run(*arguments: str, **options: str) -> Result:
        return CliRunner().invoke(main, list(arguments), **options)  # type: ignore[arg-type]

    assert run("import", "record.jsonl", "--source", "shop").exit_code == 0
    return run
