"""Contracts on their way out and in: other people's formats, each with what it has no room for said by name."""
