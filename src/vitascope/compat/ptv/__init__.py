"""What is only the interface of PyTorchVideo, under its own file names."""
