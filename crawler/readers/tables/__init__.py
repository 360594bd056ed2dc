"""Readers of delimited text, Parquet and Arrow."""
