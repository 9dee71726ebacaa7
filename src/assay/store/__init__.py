"""Where events end up: tables that belong to the user."""
