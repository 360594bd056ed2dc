"""Readers of serialised objects: MessagePack, BSON, property lists, PHP, Redis and Avro."""
