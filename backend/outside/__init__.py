"""Models of somebody else's, asked over HTTP for the classes of tasks."""
