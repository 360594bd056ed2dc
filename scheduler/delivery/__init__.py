"""Delivery of alerts: routing, sending from the outbox, lasting states and their reminders."""
