"""A festival of a few lines, imported into a box office of its own on both databases."""

import json
from pathlib import Path

import pytest

from tests.web.cli.commands import RECORD, Run, command


@pytest.fixture
def run(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("status")` is what `turnstile status` comes to, where the record was imported.

    It runs in a folder of its own, which holds the record as well.
    """
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    Path("record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in RECORD))
    assert command("import", "record.jsonl", "--source", "shop").exit_code == 0
    return command
