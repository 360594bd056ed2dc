"""Readers of JSON, XML and the records written in them."""
