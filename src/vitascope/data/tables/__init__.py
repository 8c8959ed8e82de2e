"""The user's lists and folders, read into a `records.Table`."""
