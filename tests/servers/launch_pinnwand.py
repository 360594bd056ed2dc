"""Runs pinnwand on 127.0.0.1 in its own environment: python launch_pinnwand.py PORT DATABASE.

Its own command binds all interfaces, and its limits suit a public site: tests set both here.
"""

import asyncio
import sys
from pathlib import Path

from pinnwand import configuration


async def main(port: int, database_file: Path) -> None:
    configuration.database_uri = f"sqlite:///{database_file}"
    # the limit counts the highlighted HTML, several times the paste
    configuration.paste_size = 64 * 2**20
    configuration.ratelimit = {
        area: {"capacity": 1_000_000, "consume": 1, "refill": 1_000_000} for area in configuration.ratelimit
    }
    # read at import: settings come first
    from pinnwand import database, http

    database.Base.metadata.create_all(database._engine)
    http.make_application(debug=False).listen(port, address="127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
