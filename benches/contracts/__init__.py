"""Contracts learned from public data sets, printed to be read by a person."""
