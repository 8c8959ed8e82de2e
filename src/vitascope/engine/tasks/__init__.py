"""One file a kind of learning."""
