"""The home folder, the settings in tocsin.toml, systemd credentials, and sizes and time spans."""
