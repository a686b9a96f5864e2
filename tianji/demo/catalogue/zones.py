"""The time zones of the three offices."""

JAKARTA, SINGAPORE, BERLIN = "Asia/Jakarta", "Asia/Singapore", "Europe/Berlin"
