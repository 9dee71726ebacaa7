"""Who may: API keys, the file that knows them again, and the sessions that people keep by them."""
