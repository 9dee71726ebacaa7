"""How often the alerts err, and how soon they speak. See README.md."""
