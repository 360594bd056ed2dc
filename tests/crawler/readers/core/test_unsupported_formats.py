"""Files of the data folders of MariaDB and PostgreSQL, which no reader opens: named, and never complete."""

from __future__ import annotations

from pathlib import Path

from tests.crawler.readers.frames import read

SHAPES = Path(__file__).parents[3] / "samples" / "shapes"


def test_tables_as_they_lie_in_data_folders_are_named_and_unread():
    found = read((SHAPES / "60-data-folders.zip").read_bytes())
    said = {member.name: member.details for member in found.members if member.format == "unknown"}
    assert said == {
        "pm.MYD": ["it is a table of MySQL (MyISAM or Aria), a format that cannot be read yet"],
        "pa.MAD": ["it is a table of MySQL (MyISAM or Aria), a format that cannot be read yet"],
    }
    assert not any(member.complete for member in found.members if member.format == "unknown")
