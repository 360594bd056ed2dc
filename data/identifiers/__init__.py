"""Normal forms of names, dates, e-mail addresses, phone numbers, NIR, IBAN and professional numbers.

The package also holds the header words of tables and a list of first names.
"""
