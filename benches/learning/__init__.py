"""What profiling and learning take, in time and memory, as tables grow longer and wider."""
