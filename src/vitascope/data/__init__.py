"""Videos, clips, data sets and loaders."""
