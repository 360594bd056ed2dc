"""Runs bepasty, 0bin or dpaste on 127.0.0.1 in their own environment: python launch_sites.py NAME PORT FOLDER.

Each comes as an application for a web server; this one is the server of the standard library, a thread a request.
"""

import os
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def bepasty(folder: Path, host: str):
    config = folder / "bepasty.conf"
    store = folder / "store"
    store.mkdir(exist_ok=True)
    config.write_text(
        f"SITENAME = {host!r}\nSTORAGE = 'filesystem'\nSTORAGE_FILESYSTEM_DIRECTORY = {str(store)!r}\n"
        "SECRET_KEY = 'of a test'\nDEFAULT_PERMISSIONS = 'list,read,create,delete'\n"
    )
    os.environ["BEPASTY_CONFIG"] = str(config)
    from bepasty.app import create_app

    return create_app()


def zerobin(folder: Path, host: str):
    del host
    for name in ("config", "data"):
        (folder / name).mkdir(exist_ok=True)
    from zerobin.routes import get_app

    return get_app(debug=False, config_dir=str(folder / "config"), data_dir=str(folder / "data"))[1]


def dpaste(folder: Path, host: str):
    settings = folder / "dpaste_of_a_test.py"
    settings.write_text(
        "from dpaste.settings.base import *\n"
        f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': {str(folder / 'pastes.db')!r}}}}}\n"
        f"SECRET_KEY = 'of a test'\nALLOWED_HOSTS = ['*']\nSESSION_COOKIE_SECURE = False\nSTATICFILES_STORAGE = 'django.contrib.staticfiles.storage.StaticFilesStorage'\n"
    )
    sys.path.insert(0, str(folder))
    os.environ["DJANGO_SETTINGS_MODULE"] = "dpaste_of_a_test"
    import django
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    django.setup()
    call_command("migrate", verbosity=0)
    return get_wsgi_application()


if __name__ == "__main__":
    name, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    make = {"bepasty": bepasty, "zerobin": zerobin, "dpaste": dpaste}[name]
    make_server("127.0.0.1", port, make(folder, f"127.0.0.1:{port}"), server_class=Server).serve_forever()
