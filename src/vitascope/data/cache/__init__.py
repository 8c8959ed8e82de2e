"""What is kept of videos so that it need not be decoded again."""
