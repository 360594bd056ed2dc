"""The home folder, tocsin.toml, credentials and quantities."""
