"""What a line may say is what the guide says that it may."""

from pathlib import Path

import msgspec

from application.import_lines import Line

GUIDE = Path(__file__).parents[2] / "docs" / "import.md"


def test_the_guide_names_every_command_and_field():
    guide = GUIDE.read_text()
    rows = {row.split("|")[1]: row for row in guide.splitlines() if row.startswith("| `")}

    assert Line.__subclasses__()
    for command in Line.__subclasses__():
        name = command.__struct_config__.tag
        (row,) = [row for names, row in rows.items() if f"`{name}`" in names]
        for field in msgspec.structs.fields(command):
            assert field.name == "at" or f"`{field.name}`" in row, (name, field.name)
