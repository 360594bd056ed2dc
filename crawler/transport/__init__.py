"""How bytes come in: the allow-list and the download handlers."""
