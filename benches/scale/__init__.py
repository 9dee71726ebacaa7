"""How far one lake's catalogue goes: commits measured against a real PostgreSQL, and a simulation of many more writers."""
