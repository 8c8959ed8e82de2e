"""What is known of files before a run: their faults, and the proof that decoders are exact."""
