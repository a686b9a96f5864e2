"""What the monitors tell the rest of the program, inside the transaction that makes it true.

Those about incidents are sent with `incidents`, a list of `Incident` rows that are saved and whose
`monitor` is loaded, and `at`, the database's time. A receiver that raises rolls the whole transaction
back, so that an incident never exists without the deliveries it owes.
"""

from django.dispatch import Signal

# The monitors went down and people should hear of it.
incidents_opened = Signal()
# The monitors are up again and people should hear of it.
incidents_resolved = Signal()
# A deadline passed unseen before the push that ended the silence: both at once.
incidents_passed = Signal()
# Maintenance of monitors ends sooner or later than it was planned to. Sent with `held`, by the monitor's row
# id when it was to end, `until`, when it ends now, and `at`.
maintenance_moved = Signal()
