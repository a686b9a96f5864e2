"""Tens of thousands of monitors with a past, made by PostgreSQL itself in seconds."""

from __future__ import annotations

from typing import Any

# Every so many monitors one is down, paused, new; every other interval is long.
_STATES = """
INSERT INTO monitors_monitorstate
 (workspace_id, monitor_id, status, status_changed_at, last_heartbeat_at, last_message, last_value, due_at,
  fault)
SELECT workspace_id, id, status, now() - interval '5 hours',
 CASE WHEN status <> 'new' THEN beat END, 'OK', NULL,
 CASE WHEN status <> 'up' THEN NULL WHEN kind <> 'interval' THEN now() + interval '1 hour'
  ELSE beat + (timeout + least(300, timeout / 10)) * interval '1 second' END, ''
FROM (
 SELECT workspace_id, id, kind, timeout, now() - random() * interval '60 seconds' AS beat,
  CASE WHEN n %% 50 = 7 THEN 'down' WHEN n %% 100 = 8 THEN 'paused' WHEN n %% 100 = 9 THEN 'new' ELSE 'up'
  END AS status
 FROM (
  SELECT workspace_id, id, kind, timeout, row_number() OVER (ORDER BY id) AS n FROM monitors_monitor
 ) AS numbered
) AS those
"""
_MONITORS = """
INSERT INTO monitors_monitor
 (public_id, workspace_id, name, slug, description, tags, kind, timeout, cron, timezone, post_only,
  value_required, version, created_at, updated_at)
SELECT gen_random_uuid(), (%(workspaces)s::bigint[])[1 + (n - 1) * %(number)s / %(monitors)s],
 (ARRAY['Backup', 'sync', 'Worker', 'import', 'report', 'Gateway', 'cleanup', 'mail'])[1 + n %% 8]
  || ' ' || (n * 7919) %% %(monitors)s,
 'monitor-' || n, '', jsonb_build_array('tag-' || n %% 40, 'zone-' || n %% 7),
 CASE WHEN n %% 20 = 3 THEN 'cron' ELSE 'interval' END, CASE WHEN n %% 2 = 0 THEN 3600 ELSE 86400 END,
 CASE WHEN n %% 20 = 3 THEN '0 3 * * *' ELSE '' END, 'UTC', false, false, 1,
 now() - interval '40 days', now() - interval '40 days'
FROM generate_series(1, %(monitors)s) AS n
"""
_TOKENS = """
INSERT INTO monitors_pushtoken
 (workspace_id, public_id, monitor_id, label, digest, sealed, last_four, created_at, imported, limited_count)
SELECT workspace_id, gen_random_uuid(), id, '',
 encode(sha256(convert_to('crowd-' || slug || '-' || workspace_id, 'UTF8')), 'hex'), '',
 right(slug, 4), created_at, true, 0
FROM monitors_monitor
"""
# The latest change of each, and some before it, as incidents that are over.
_PAST = """
WITH before AS (
 INSERT INTO monitors_incident
  (workspace_id, public_id, monitor_id, cause, started_at, detected_at, confirmed_at, resolved_at,
   opening_message, latest_message, closing_message, note)
 SELECT workspace_id, gen_random_uuid(), id,
  CASE WHEN id %% 3 = 0 THEN 'reported' ELSE 'missed' END, at, at, at,
  at + interval '5 minutes', '', '', 'OK', ''
 FROM (
  SELECT m.workspace_id, m.id, now() - interval '6 hours'
   - (%(incidents)s - n + (m.id * 7919 %% 1000) / 1000.0) * interval '5 days' AS at
  FROM generate_series(1, %(incidents)s) AS n CROSS JOIN monitors_monitor AS m
  ORDER BY 2
 ) AS falls
 RETURNING workspace_id, id, monitor_id, started_at, resolved_at
)
INSERT INTO monitors_transition (workspace_id, monitor_id, at, source, target, reason, incident_id)
SELECT workspace_id, monitor_id, started_at, 'up', 'down', 'missed', id FROM before
UNION ALL
SELECT workspace_id, monitor_id, resolved_at, 'down', 'up', 'heartbeat', id FROM before
ORDER BY 3
"""
_OPEN = """
WITH open AS (
 INSERT INTO monitors_incident
  (workspace_id, public_id, monitor_id, cause, started_at, detected_at, confirmed_at, opening_message,
   latest_message, closing_message, note)
 SELECT workspace_id, gen_random_uuid(), monitor_id, 'missed',
  status_changed_at, status_changed_at, status_changed_at,
  '', '', '', ''
 FROM monitors_monitorstate WHERE status = 'down'
 RETURNING workspace_id, id, monitor_id, started_at
)
INSERT INTO monitors_transition (workspace_id, monitor_id, at, source, target, reason, incident_id)
SELECT workspace_id, monitor_id, started_at, 'up', 'down', 'missed', id FROM open
"""
_HEARTBEATS = """
INSERT INTO monitors_heartbeat (workspace_id, monitor_id, received_at, status, message)
SELECT m.workspace_id, m.id,
 now() - (%(heartbeats)s - n + (m.id * 7919 %% 1000) / 1000.0) * interval '10 minutes', 'up', 'OK'
FROM generate_series(1, %(heartbeats)s) AS n CROSS JOIN monitors_monitor AS m
"""
_ROLLUPS = """
INSERT INTO monitors_rollup (workspace_id, monitor_id, start, ups, downs, last_message, value_count)
SELECT m.workspace_id, m.id, starts, 3, 0, 'OK', 0
FROM (
 SELECT date_trunc('hour', now()) - n * interval '30 minutes' AS starts
 FROM generate_series(%(rollups)s, 1, -1) AS n
) AS halves CROSS JOIN monitors_monitor AS m
"""
_ROLLED_UP = """
INSERT INTO monitors_rolledup (start)
SELECT date_trunc('hour', now()) - n * interval '30 minutes' FROM generate_series(1, %(rollups)s) AS n
"""
_REJECTED = """
INSERT INTO monitors_rejectedpush
 (workspace_id, monitor_id, reason, method, source, last_four, detail, first_at, last_at, count)
SELECT workspace_id, id, 'parameter', 'GET', '', 'abcd', '', now() - interval '25 days',
 now() - random() * interval '20 days', 3
FROM monitors_monitor WHERE id %% 10 = 0
"""
_AUDIT = """
INSERT INTO accounts_auditentry (workspace_id, at, action, actor, via, subject, subject_name, details)
SELECT workspace_id, created_at + id * interval '1 ms', 'monitor.created', 'someone', 'browser', public_id,
 name, '{}'
FROM monitors_monitor
"""
_CHANNELS = """
INSERT INTO notifications_channel
 (public_id, workspace_id, name, kind, config, enabled, all_monitors, delay, on_down, on_recovery, on_late,
  on_reminder, title, body, failures, version, created_at, updated_at)
SELECT gen_random_uuid(), w, 'Channel ' || n, 'webhook', '{"url": "http://127.0.0.1:9/"}', true, n = 1, 0,
 true, true, false, true, '', '', 0, 1, now(), now()
FROM unnest(%(workspaces)s::bigint[]) AS w CROSS JOIN generate_series(1, 3) AS n
"""
_SUBSCRIBED = """
INSERT INTO notifications_channel_monitors (channel_id, monitor_id)
SELECT c.id, m.id FROM notifications_channel AS c JOIN monitors_monitor AS m USING (workspace_id)
WHERE NOT c.all_monitors AND m.id %% 2 = c.id %% 2
"""
# What each channel was sent of the incidents: one message for each, and one in a thousand is being retried.
_DELIVERIES = """
INSERT INTO notifications_delivery
 (workspace_id, public_id, monitor_id, incident_id, channel_id, event, sequence, status, note, created_at,
  planned_at, next_attempt_at, attempt_count, sent_at)
SELECT c.workspace_id, gen_random_uuid(), i.monitor_id, i.id, c.id, 'incident.opened', 1,
 CASE WHEN i.id %% 1000 = 1 THEN 'pending' ELSE 'sent' END, '', i.started_at, i.started_at,
 CASE WHEN i.id %% 1000 = 1 THEN now() + interval '1 hour' END, 1,
 CASE WHEN i.id %% 1000 <> 1 THEN i.started_at END
FROM monitors_incident AS i
JOIN monitors_monitor AS m ON m.id = i.monitor_id
JOIN notifications_channel AS c ON c.workspace_id = m.workspace_id AND c.all_monitors
ORDER BY i.started_at
"""
_ATTEMPTS = """
INSERT INTO notifications_deliveryattempt
 (workspace_id, delivery_id, number, started_at, finished_at, ok, detail)
SELECT workspace_id, id, 1, created_at, created_at + interval '1 second', status = 'sent', ''
FROM notifications_delivery
"""
_BELIEFS = """
INSERT INTO notifications_belief
 (workspace_id, channel_id, monitor_id, state, sequence, incident_id, after_incident, reminders, sent_at,
  delivery_id, check_at, outage)
SELECT c.workspace_id, c.id, s.monitor_id, CASE WHEN s.status = 'down' THEN 'down' ELSE 'up' END, 1, i.id,
 0, 0, now(), NULL,
 CASE WHEN s.status = 'down' AND s.monitor_id %% 10 = 0 THEN now() + interval '1 hour' END,
 CASE WHEN s.status = 'down' THEN gen_random_uuid() END
FROM monitors_monitorstate AS s
JOIN monitors_monitor AS m ON m.id = s.monitor_id
JOIN notifications_channel AS c ON c.workspace_id = m.workspace_id AND c.all_monitors
LEFT JOIN monitors_incident AS i ON i.monitor_id = s.monitor_id AND i.resolved_at IS NULL
"""


def fill(
    cursor: Any,
    monitors: int,
    *,
    workspaces: list[Any],
    incidents: int = 2,
    heartbeats: int = 10,
    rollups: int = 10,
    notified: bool = True,
) -> None:
    """Fill an empty installation on PostgreSQL with `monitors`, evenly spread over `workspaces`.

    2 of 100 are down, 1 paused, 1 new, and 5 have set times. Each has a token (see `secrets_of`), so many
    `incidents` that are over, `heartbeats` in steps of 10 minutes, and `rollups`.

    Args:
        cursor: of the database; for many, not of a connection of the product, which waits 20 s at most.
        notified: also add channels, what they were sent, and what they believe.
    """
    given = {
        "monitors": monitors,
        "workspaces": [each.pk for each in workspaces],
        "number": len(workspaces),
        "incidents": incidents,
        "heartbeats": heartbeats,
        "rollups": rollups,
    }
    told = [_CHANNELS, "ANALYZE", _SUBSCRIBED, _DELIVERIES, _ATTEMPTS, _BELIEFS] if notified else []
    # Between them, so that PostgreSQL knows how much there is to join.
    for statement in (
        *(_MONITORS, "ANALYZE", _STATES, "ANALYZE", _TOKENS, _PAST, _OPEN, _HEARTBEATS),
        *(_ROLLUPS, _ROLLED_UP, _REJECTED, _AUDIT, *told),
    ):
        cursor.execute(statement, given if "%" in statement else None)
    cursor.execute("ANALYZE")


def secrets_of(workspace: Any) -> list[str]:
    """Return the push tokens of the monitors of `workspace` that `fill` made."""
    slugs = workspace.monitors.order_by("pk").values_list("slug", flat=True)
    return [f"crowd-{slug}-{workspace.pk}" for slug in slugs]
