"""From the outbox to the channels: routing, delivery, lasting states and their reminders."""
