"""Readers of the files that MySQL and MariaDB keep in their data folder."""
