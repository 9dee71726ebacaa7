"""Data at rest, held to a contract: frames, files and tables, with the verdict that the service gives."""
