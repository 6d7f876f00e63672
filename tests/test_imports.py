"""The direction of imports: the contracts of pyproject.toml, and what the domain may know."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]


def test_imports_go_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "path", sorted((ROOT / "domain").rglob("*.py")), ids=lambda path: path.stem
)
def test_the_domain_knows_the_standard_library_and_eventsourcing_domain_only(path: Path):
    """The contracts see other distributions as wholes, so they cannot tell this part of one."""
    allowed = sys.stdlib_module_names | {"domain"}
    foreign = {name for name in imported_by(path) if name.split(".")[0] not in allowed}
    assert foreign <= {"eventsourcing.domain"}


def imported_by(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."
