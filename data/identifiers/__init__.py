"""Normal forms of names, dates, e-mail addresses, phone numbers, NIR, IBAN and professional numbers; header words and name lists."""
