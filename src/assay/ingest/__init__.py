"""The way of an event from its bytes to its table: decode, validate, log, apply."""
