"""The record of a real festival, EMF Camp 2016, read where it lies beside the repository."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from application.import_lines import Names

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "emf2016"
RECORD = FOLDER / "record.jsonl"
SOURCE = "emf"
EVENT: UUID = Names(SOURCE).id("event", "emf-2016")


def expected() -> Any:
    """The figures that the festival published about itself."""
    return json.loads((FOLDER / "expected.json").read_text())


def type_reference(ticket_type_id: str) -> str:
    """The festival's own name of a ticket type."""
    return {
        str(Names(SOURCE).id("ticket_type", "emf-2016", reference)): reference
        for reference in ("full", "kid", "car", "campervan", "other")
    }[ticket_type_id]
