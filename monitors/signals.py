"""Signals of the monitors app, sent inside the transaction they are about.

Those about incidents are sent with `incidents`, a list of saved `Incident` rows with `monitor` loaded, and
`at`, the database's time. A receiver that raises rolls the whole transaction back, so that an incident
never exists without its deliveries. Nothing is sent for an incident that is not confirmed.
"""

from django.dispatch import Signal

# Incidents were confirmed, because their failure thresholds were reached, or confirmed ones were resolved, or
# closed because their monitors were paused. Sent once a transaction, so that its receivers can take their
# locks in one order.
incidents_changed = Signal()
# A monitor is about to be deleted. Sent with `monitor` and `at`.
monitor_deleting = Signal()
# Who is notified of monitors may have changed. Sent with `monitors`, their row ids.
recipients_changed = Signal()
# The maintenance of monitors ends at another time than before. Sent with `monitors`, their row ids, which may
# be those of all monitors of a workspace.
maintenance_moved = Signal()
# The database's clock was set back, by `by`: times that were planned before are too late by as much.
clock_set_back = Signal()
