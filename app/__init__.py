"""The workspace's application."""
