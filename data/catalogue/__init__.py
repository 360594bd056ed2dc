"""Shipped declarations and small reference tables, each naming where its facts come from."""
