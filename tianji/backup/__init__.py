"""A backup of the whole database in one file, and the way back: `tianji backup` and `tianji restore`."""
