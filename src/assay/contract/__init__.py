"""The contract: what each field of an event must be, the versions it goes through, and the verdict that it gives."""
