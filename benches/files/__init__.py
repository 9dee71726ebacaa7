"""How fast files are profiled and checked: what `benches.check` and `benches.profile` measure, written down."""
