"""Who is in it? Columns, rows, running text and notes become record keys and note prints."""
