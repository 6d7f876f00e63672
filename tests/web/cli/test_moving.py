"""Moving in from another system, and carrying the log from one database to another."""

import gzip
from pathlib import Path
from types import SimpleNamespace

import pytest

from application.composition import compose
from application.settings import Settings
from tests.web.cli.commands import RECORD, TICKET, Run, head, shell
from workers.jobs import jobs_of


def test_workers_import_what_they_are_handed(
    run: Run,
    migrated_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused: list[dict[str, object]] = []
    logged = SimpleNamespace(
        warning=lambda event, **fields: refused.append(fields), info=lambda event, **fields: None
    )
    monkeypatch.setattr("workers.jobs.logger", logged)
    turnstile = compose(Settings(database_url=migrated_url, redis_url=redis_url))
    worker = jobs_of(turnstile).start_worker(threads=1)
    monkeypatch.setenv("REDIS_URL", redis_url)
    record = str(tmp_path / "record.jsonl")
    with (tmp_path / "record.jsonl").open("a") as lines:
        lines.write('{"command": "dance"}\n')
    first = run("import", record, "--source", "other:eu", "--on-workers")
    again = run("import", record, "--source", "other:eu", "--on-workers")
    worker.stop()
    turnstile.close()
    assert first.output.endswith(f"{len(RECORD)} applied, 0 already, 1 refused\n")
    assert again.output.endswith(f"0 applied, {len(RECORD)} already, 1 refused\n")
    assert [(fields["line"], fields["rule"]) for fields in refused] == 2 * [
        (len(RECORD) + 1, "unreadable")
    ]


@pytest.mark.parametrize("source", ["", " ", "shop\n", "http://shop"])
def test_a_source_has_a_name(run: Run, tmp_path: Path, source: str) -> None:
    result = run("import", str(tmp_path / "record.jsonl"), "--source", source)
    assert (result.exit_code, result.output[:18]) == (1, "Error: A source ha")


def test_workers_need_redis(run: Run, tmp_path: Path) -> None:
    result = run("import", str(tmp_path / "record.jsonl"), "--on-workers")
    assert result.exit_code == 1
    assert "set REDIS_URL" in result.output


def test_a_log_is_carried_from_one_database_to_the_other(
    run: Run, migrated_url: str, sqlite_url: str, postgres_url: str, tmp_path: Path
) -> None:
    position = head(run)
    assert run("export-log", "log.jsonl.gz").exit_code == 0
    piped = shell(migrated_url, "export-log", "-")
    assert gzip.decompress(Path("log.jsonl.gz").read_bytes()) == piped.stdout
    assert piped.stdout.count(b"\n") == position + 1
    elsewhere = f"sqlite:///{tmp_path / 'restored.db'}"
    for url in (postgres_url, elsewhere):
        restored = shell(url, "import-log", "-", fed=piped.stdout)
        assert restored.returncode == 0, restored.stderr
        assert f"{position} events" in restored.stderr.decode()
        assert shell(url, "verify").returncode == 0
        assert shell(url, "export-log", "-").stdout == piped.stdout
    assert shell(elsewhere, "rebuild", "tickets").returncode == 0
    told = shell(elsewhere, "history", *TICKET, "--json").stdout.decode()
    assert told == run("history", *TICKET, "--json").stdout


def test_an_import_names_the_line_that_does_not_fit(run: Run, postgres_url: str) -> None:
    run("export-log", "log.jsonl")
    lines = Path("log.jsonl").read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b"import:shop", b"import:eve")
    result = shell(postgres_url, "import-log", "-", fed=b"".join(lines))
    assert result.returncode == 1
    assert b"Line 4, position 3: what is recorded here" in result.stderr


def test_a_file_that_is_not_there_is_said_so(run: Run) -> None:
    assert "No such file" in run("import-log", "nothing.jsonl").stderr
    assert run("export-log", "no/such/folder/log.jsonl").exit_code == 1
