"""Signals of the monitors app, sent inside the transaction they are about.

Those about incidents are sent with `incidents`, a list of saved `Incident` rows with `monitor` loaded, and
`at`, the database's time. A receiver that raises rolls the whole transaction back, so that an incident
never exists without its deliveries. Nothing is sent for an incident that is not confirmed.
"""

from django.dispatch import Signal

# The incidents are confirmed: their failure thresholds are reached, and notifications should be sent.
incidents_opened = Signal()
# Confirmed incidents are resolved: the monitors recovered, and notifications should be sent.
incidents_resolved = Signal()
# A deadline had passed unnoticed before the push that ended the silence: confirmed and resolved at once.
incidents_passed = Signal()
# Confirmed incidents are closed because their monitors were paused.
incidents_closed = Signal()
# A monitor is about to be deleted. Sent with `monitor` and `at`.
monitor_deleting = Signal()
# Who is notified of monitors may have changed. Sent with `monitors`, their row ids.
recipients_changed = Signal()
# The end of monitors' maintenance has changed. Sent with `held` (by the monitor's row id, when it was to
# end), `until` (when it ends now) and `at`.
maintenance_moved = Signal()
