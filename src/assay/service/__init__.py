"""The door: HTTP around the ingest path."""
