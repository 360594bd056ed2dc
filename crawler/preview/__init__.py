"""File lists of archives and torrents, read before the data itself is fetched."""
