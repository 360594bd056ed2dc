"""Readers of office documents and workbooks."""
