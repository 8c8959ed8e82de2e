"""Complete choices for a run."""
