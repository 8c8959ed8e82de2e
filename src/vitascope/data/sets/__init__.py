"""Public data sets, one a file: its reader, how its lists are found, its card."""
