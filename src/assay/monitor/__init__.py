"""What Prometheus sees: the series, the rules that watch them, and the tests of those rules."""
