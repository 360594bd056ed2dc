"""How the watch-list is stored: segments of sorted tags, the manifest that names them, and their checksums."""
