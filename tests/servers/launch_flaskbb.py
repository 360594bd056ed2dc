"""Runs FlaskBB on 127.0.0.1 in its own environment: python launch_flaskbb.py PORT FOLDER.

FlaskBB 2.2 is written for a Python that reads annotations late; on an earlier one its modules are compiled so that their
annotations are not read at all.
"""

import __future__

import importlib.machinery
import sys
import typing
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

import typing_extensions

ExtensionLoader = importlib.machinery.ExtensionFileLoader
EXTENSION_SUFFIXES = importlib.machinery.EXTENSION_SUFFIXES


class Loader(importlib.machinery.SourceFileLoader):
    def source_to_code(self, data, path, *, _optimize=-1):
        flags = __future__.annotations.compiler_flag if "/site-packages/flaskbb" in path else 0
        return compile(data, path, "exec", flags=flags, dont_inherit=True, optimize=_optimize)

    def path_stats(self, path):
        if "/site-packages/flaskbb" in path:
            raise OSError("what pip compiled is not used")
        return super().path_stats(path)


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def made(folder: Path):
    """The application, with a board, and with a user whose name and password are `poster`."""
    found = importlib.machinery.FileFinder.path_hook((Loader, [".py"]), (ExtensionLoader, EXTENSION_SUFFIXES))
    sys.path_hooks.insert(0, found)
    sys.path_importer_cache.clear()
    typing.override = typing_extensions.override
    from flaskbb.app import create_app

    settings = {
        "SECRET_KEY": "of a test", "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder}/forum.db", "WTF_CSRF_ENABLED": False,
        "RATELIMIT_ENABLED": False, "REDIS_ENABLED": False, "LOG_DEFAULT_CONF": {"version": 1},
        "WHOOSHEE_DIR": str(folder / "index"), "WHOOSHEE_ENABLE_INDEXING": False, "DEBUG_TB_ENABLED": False,
    }  # fmt: skip
    file = folder / "flaskbb.cfg"
    file.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    app = create_app(str(file))
    with app.app_context():
        from flaskbb.extensions import db
        from flaskbb.utils.populate import (
            create_default_groups,
            create_default_settings,
            create_user,
            create_welcome_forum,
        )

        db.create_all()
        create_default_groups()
        create_default_settings()
        create_user("poster", "poster", "poster@forum.example", "admin")
        create_welcome_forum()
    return app


if __name__ == "__main__":
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    make_server("127.0.0.1", port, made(folder), server_class=Server).serve_forever()
