"""Who is in it? Turns the columns, rows, running text and notes of a sample into record keys and note prints."""
