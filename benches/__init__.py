"""Measurements, side by side in one run: each figure that counts is a ratio. See README.md."""
