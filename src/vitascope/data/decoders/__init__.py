"""One file a video decoder."""
