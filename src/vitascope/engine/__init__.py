"""The one place that trains, evaluates and saves."""
