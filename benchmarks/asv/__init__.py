"""What is watched from commit to commit: seconds, peak memory, and whether ranks are right."""
