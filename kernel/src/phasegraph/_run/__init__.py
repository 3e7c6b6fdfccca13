"""Running a graph: building its nodes, moving their samples, supervising them, and saying what happened."""
