"""Converting models for deployment."""
