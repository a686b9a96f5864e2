# The initial state of the tables. Later migrations add to it; this one is not edited any more.

import django.core.validators
import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Monitor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='monitors', to='accounts.workspace')),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('slug', models.CharField(max_length=60, validators=[django.core.validators.RegexValidator('^[a-z0-9]+(?:-[a-z0-9]+)*\\Z')], verbose_name='slug')),
                ('description', models.TextField(blank=True, max_length=2000, verbose_name='description')),
                ('tags', models.JSONField(blank=True, default=list, verbose_name='tags')),
                ('kind', models.CharField(choices=[('interval', 'At a regular interval'), ('cron', 'At set times (cron)')], default='interval', max_length=8, verbose_name='schedule')),
                ('timeout', models.PositiveIntegerField(default=60, validators=[django.core.validators.MinValueValidator(1, 'Must be at least %(limit_value)d second.'), django.core.validators.MaxValueValidator(31536000, 'Must be at most %(limit_value)d seconds.')], verbose_name='timeout')),
                ('interval', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(1, 'Must be at least %(limit_value)d second.'), django.core.validators.MaxValueValidator(31536000, 'Must be at most %(limit_value)d seconds.')], verbose_name='recommended interval')),
                ('cron', models.CharField(blank=True, max_length=200, verbose_name='cron expression')),
                ('timezone', models.CharField(default='UTC', max_length=64, verbose_name='time zone')),
                ('grace', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MinValueValidator(0, 'Must be at least %(limit_value)d seconds.'), django.core.validators.MaxValueValidator(2592000, 'Must be at most %(limit_value)d seconds.')], verbose_name='grace period')),
                ('post_only', models.BooleanField(default=False, verbose_name='only accept POST')),
                ('push_rate', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MaxValueValidator(1000000)], verbose_name='pushes per minute')),
                ('value_min', models.FloatField(blank=True, null=True, verbose_name='lowest allowed value')),
                ('value_max', models.FloatField(blank=True, null=True, verbose_name='highest allowed value')),
                ('value_required', models.BooleanField(default=False, verbose_name='require a value')),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('updated_at', models.DateTimeField(auto_now=True, verbose_name='updated')),
            ],
            options={
                'verbose_name': 'monitor',
                'verbose_name_plural': 'monitors',
            },
        ),
        migrations.CreateModel(
            name='RolledUp',
            fields=[
                ('start', models.DateTimeField(primary_key=True, serialize=False)),
            ],
            options={
                'verbose_name': 'rolled-up half hour',
                'verbose_name_plural': 'rolled-up half hours',
            },
        ),
        migrations.CreateModel(
            name='MaintenanceWindow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='maintenance_windows', to='accounts.workspace')),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('kind', models.CharField(choices=[('once', 'Once'), ('weekly', 'Every week')], default='once', max_length=8, verbose_name='repeats')),
                ('starts_at', models.DateTimeField(blank=True, null=True, verbose_name='from')),
                ('ends_at', models.DateTimeField(blank=True, null=True, verbose_name='until')),
                ('weekdays', models.JSONField(blank=True, default=list, verbose_name='weekdays')),
                ('start_time', models.TimeField(blank=True, null=True, verbose_name='starts at')),
                ('duration', models.PositiveIntegerField(blank=True, null=True, verbose_name='duration')),
                ('timezone', models.CharField(default='UTC', max_length=64, verbose_name='time zone')),
                ('all_monitors', models.BooleanField(default=False, verbose_name='all monitors')),
                ('tags', models.JSONField(blank=True, default=list, verbose_name='tags')),
                ('excluded_from_uptime', models.BooleanField(default=True, verbose_name='excluded from uptime')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('monitors', models.ManyToManyField(blank=True, related_name='maintenance_windows', to='monitors.monitor')),
            ],
            options={
                'verbose_name': 'maintenance window',
                'verbose_name_plural': 'maintenance windows',
                'ordering': ['name', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Incident',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('monitor', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='incidents', to='monitors.monitor')),
                ('cause', models.CharField(choices=[('missed', 'Missed'), ('reported', 'Reported'), ('value', 'Out of range')], max_length=8)),
                ('started_at', models.DateTimeField()),
                ('detected_at', models.DateTimeField()),
                ('resolved_at', models.DateTimeField(blank=True, null=True)),
                ('opening_message', models.CharField(blank=True, max_length=500)),
                ('opening_value', models.FloatField(blank=True, null=True)),
                ('closing_message', models.CharField(blank=True, max_length=500)),
                ('closing_value', models.FloatField(blank=True, null=True)),
                ('last_heartbeat_at', models.DateTimeField(blank=True, null=True)),
                ('note', models.TextField(blank=True, max_length=4000, verbose_name='note')),
                ('acknowledged_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('acknowledged_by', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'incident',
                'verbose_name_plural': 'incidents',
            },
        ),
        migrations.CreateModel(
            name='PushToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('monitor', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tokens', to='monitors.monitor')),
                ('label', models.CharField(blank=True, max_length=60, verbose_name='label')),
                ('digest', models.CharField(editable=False, max_length=64, unique=True)),
                ('sealed', models.TextField(editable=False)),
                ('last_four', models.CharField(editable=False, max_length=4)),
                ('created_at', models.DateTimeField(verbose_name='created')),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('expires_at', models.DateTimeField(blank=True, null=True, verbose_name='expires')),
                ('revoked_at', models.DateTimeField(blank=True, null=True, verbose_name='revoked')),
                ('last_used_at', models.DateTimeField(blank=True, null=True, verbose_name='last used')),
                ('last_used_from', models.GenericIPAddressField(blank=True, null=True, verbose_name='last used from')),
                ('imported', models.BooleanField(default=False, editable=False, verbose_name='imported')),
                ('replaced_by', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='replaces', to='monitors.pushtoken')),
                ('replaced_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('limited_count', models.PositiveBigIntegerField(default=0, editable=False)),
                ('limited_at', models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={
                'verbose_name': 'push token',
                'verbose_name_plural': 'push tokens',
            },
        ),
        migrations.CreateModel(
            name='Heartbeat',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('monitor', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='heartbeats', to='monitors.monitor')),
                ('received_at', models.DateTimeField()),
                ('status', models.CharField(choices=[('up', 'Up'), ('down', 'Down')], max_length=4)),
                ('value', models.FloatField(blank=True, null=True)),
                ('message', models.CharField(blank=True, max_length=500)),
                ('source', models.GenericIPAddressField(blank=True, null=True)),
                ('token', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='monitors.pushtoken')),
            ],
            options={
                'verbose_name': 'heartbeat',
                'verbose_name_plural': 'heartbeats',
            },
        ),
        migrations.CreateModel(
            name='RejectedPush',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('monitor', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='rejected_pushes', to='monitors.monitor')),
                ('reason', models.CharField(choices=[('revoked', 'Revoked token'), ('expired', 'Expired token'), ('parameter', 'Invalid parameter'), ('method', 'Method not allowed'), ('limit', 'Rate limit exceeded'), ('too_large', 'Body too large')], max_length=9)),
                ('method', models.CharField(max_length=16)),
                ('source', models.CharField(blank=True, max_length=45)),
                ('last_four', models.CharField(max_length=4)),
                ('detail', models.CharField(blank=True, max_length=200)),
                ('first_at', models.DateTimeField()),
                ('last_at', models.DateTimeField()),
                ('count', models.PositiveBigIntegerField(default=1)),
            ],
            options={
                'verbose_name': 'rejected push',
                'verbose_name_plural': 'rejected pushes',
            },
        ),
        migrations.CreateModel(
            name='Rollup',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('monitor', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='rollups', to='monitors.monitor')),
                ('start', models.DateTimeField()),
                ('ups', models.PositiveIntegerField()),
                ('downs', models.PositiveIntegerField()),
                ('last_message', models.CharField(blank=True, max_length=500)),
                ('value_count', models.PositiveIntegerField()),
                ('value_min', models.FloatField(blank=True, null=True)),
                ('value_max', models.FloatField(blank=True, null=True)),
                ('value_sum', models.FloatField(blank=True, null=True)),
            ],
            options={
                'verbose_name': 'rollup',
                'verbose_name_plural': 'rollups',
            },
        ),
        migrations.CreateModel(
            name='Transition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('monitor', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='transitions', to='monitors.monitor')),
                ('at', models.DateTimeField()),
                ('source', models.CharField(choices=[('new', 'New'), ('up', 'Up'), ('down', 'Down'), ('paused', 'Paused')], max_length=8)),
                ('target', models.CharField(choices=[('new', 'New'), ('up', 'Up'), ('down', 'Down'), ('paused', 'Paused')], max_length=8)),
                ('reason', models.CharField(choices=[('heartbeat', 'Heartbeat'), ('reported', 'Reported down'), ('missed', 'Missed'), ('value', 'Out of range'), ('paused', 'Paused'), ('resumed', 'Resumed')], max_length=9)),
                ('incident', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='transitions', to='monitors.incident')),
            ],
            options={
                'verbose_name': 'status change',
                'verbose_name_plural': 'status changes',
            },
        ),
        migrations.CreateModel(
            name='MonitorState',
            fields=[
                ('monitor', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='state', serialize=False, to='monitors.monitor')),
                ('status', models.CharField(choices=[('new', 'New'), ('up', 'Up'), ('down', 'Down'), ('paused', 'Paused')], default='new', max_length=8)),
                ('status_changed_at', models.DateTimeField()),
                ('last_heartbeat_at', models.DateTimeField(blank=True, null=True)),
                ('last_message', models.CharField(blank=True, max_length=500)),
                ('last_value', models.FloatField(blank=True, null=True)),
                ('due_at', models.DateTimeField(blank=True, null=True)),
                ('fault', models.CharField(blank=True, max_length=200)),
            ],
            options={
                'verbose_name': 'monitor state',
                'verbose_name_plural': 'monitor states',
                'indexes': [models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='monitor_state_due')],
                'constraints': [models.CheckConstraint(condition=models.Q(('due_at__isnull', True), ('status', 'up'), _connector='OR'), name='only_an_up_monitor_is_due')],
            },
        ),
        migrations.AddIndex(
            model_name='monitor',
            index=models.Index(fields=['workspace', 'name'], name='monitor_workspace_name'),
        ),
        migrations.AddConstraint(
            model_name='monitor',
            constraint=models.UniqueConstraint(fields=('workspace', 'slug'), name='one_monitor_a_workspace_and_slug'),
        ),
        migrations.AddConstraint(
            model_name='monitor',
            constraint=models.CheckConstraint(condition=models.Q(('timeout__gte', 1), ('timeout__lte', 31536000)), name='monitor_timeout_in_range'),
        ),
        migrations.AddConstraint(
            model_name='monitor',
            constraint=models.CheckConstraint(condition=models.Q(('grace__isnull', True), ('grace__lte', 2592000), _connector='OR'), name='monitor_grace_in_range'),
        ),
        migrations.AddConstraint(
            model_name='monitor',
            constraint=models.CheckConstraint(condition=models.Q(('kind', 'interval'), models.Q(('cron', ''), _negated=True), _connector='OR'), name='monitor_cron_has_an_expression'),
        ),
        migrations.AddConstraint(
            model_name='maintenancewindow',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('ends_at__gt', models.F('starts_at')), ('kind', 'once'), ('starts_at__isnull', False)), models.Q(('duration__gt', 0), ('kind', 'weekly'), ('start_time__isnull', False)), _connector='OR'), name='maintenance_says_when'),
        ),
        migrations.AddIndex(
            model_name='incident',
            index=models.Index(models.F('monitor'), models.OrderBy(models.F('started_at'), descending=True), name='incident_monitor_started'),
        ),
        migrations.AddConstraint(
            model_name='incident',
            constraint=models.UniqueConstraint(condition=models.Q(('resolved_at__isnull', True)), fields=('monitor',), name='one_open_incident_a_monitor'),
        ),
        migrations.AddConstraint(
            model_name='incident',
            constraint=models.CheckConstraint(condition=models.Q(('resolved_at__isnull', True), ('resolved_at__gte', models.F('started_at')), _connector='OR'), name='incident_ends_after_it_starts'),
        ),
        migrations.AddIndex(
            model_name='heartbeat',
            index=models.Index(models.F('monitor'), models.OrderBy(models.F('received_at'), descending=True), name='heartbeat_monitor_received'),
        ),
        migrations.AddIndex(
            model_name='rejectedpush',
            index=models.Index(fields=['last_at'], name='rejected_push_last_at'),
        ),
        migrations.AddConstraint(
            model_name='rejectedpush',
            constraint=models.UniqueConstraint(fields=('monitor', 'reason', 'method', 'source', 'last_four'), name='one_rejected_push_a_kind'),
        ),
        migrations.AddIndex(
            model_name='rollup',
            index=models.Index(fields=['start'], name='rollup_start'),
        ),
        migrations.AddConstraint(
            model_name='rollup',
            constraint=models.UniqueConstraint(fields=('monitor', 'start'), name='one_rollup_a_monitor_and_half_hour'),
        ),
        migrations.AddIndex(
            model_name='transition',
            index=models.Index(models.F('monitor'), models.OrderBy(models.F('at'), descending=True), name='transition_monitor_at'),
        ),
    ]
