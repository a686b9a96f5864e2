# The initial state of the tables. Later migrations add to it; this one is not edited any more.

import django.core.validators
import django.db.models.deletion
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        ('monitors', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='MonitorRules',
            fields=[
                ('missed_needed', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('missed_of', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('reported_needed', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('reported_of', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('recovery_needed', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('remind_every', models.PositiveIntegerField(blank=True, null=True)),
                ('remind_most', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('monitor', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='rules', serialize=False, to='monitors.monitor')),
                ('snoozed_until', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='WorkspaceRules',
            fields=[
                ('missed_needed', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('missed_of', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('reported_needed', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('reported_of', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('recovery_needed', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('remind_every', models.PositiveIntegerField(blank=True, null=True)),
                ('remind_most', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('workspace', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='rules', serialize=False, to='accounts.workspace')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Channel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='channels', to='accounts.workspace')),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('kind', models.CharField(max_length=24, verbose_name='integration')),
                ('config', models.JSONField(default=dict)),
                ('enabled', models.BooleanField(default=True, verbose_name='enabled')),
                ('all_monitors', models.BooleanField(default=True, verbose_name='all monitors')),
                ('delay', models.PositiveIntegerField(default=0, validators=[django.core.validators.MaxValueValidator(604800)], verbose_name='only if still down after')),
                ('on_down', models.BooleanField(default=True, verbose_name='down')),
                ('on_recovery', models.BooleanField(default=True, verbose_name='recovery')),
                ('on_late', models.BooleanField(default=False, verbose_name='late')),
                ('on_reminder', models.BooleanField(default=True, verbose_name='reminders')),
                ('title', models.TextField(blank=True, max_length=4000, verbose_name='title')),
                ('body', models.TextField(blank=True, max_length=4000, verbose_name='text')),
                ('failures', models.PositiveIntegerField(default=0, editable=False)),
                ('failing_since', models.DateTimeField(blank=True, editable=False, null=True)),
                ('paused_until', models.DateTimeField(blank=True, editable=False, null=True)),
                ('downs_until', models.DateTimeField(blank=True, editable=False, null=True)),
                ('ups_until', models.DateTimeField(blank=True, editable=False, null=True)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('updated_at', models.DateTimeField(auto_now=True, verbose_name='updated')),
                ('monitors', models.ManyToManyField(blank=True, related_name='channels', to='monitors.monitor')),
            ],
            options={
                'verbose_name': 'channel',
                'verbose_name_plural': 'channels',
                'ordering': ['name', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('monitor', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='monitors.monitor')),
                ('incident', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='monitors.incident')),
                ('channel', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='notifications.channel')),
                ('digest', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='members', to='notifications.delivery')),
                ('subject', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='news', to='notifications.channel')),
                ('event', models.CharField(choices=[('incident.opened', 'Down'), ('incident.resolved', 'Recovered'), ('incident.passed', 'Was down'), ('incident.reminder', 'Reminder'), ('monitor.late', 'Late'), ('digest.down', 'Several down'), ('digest.up', 'Several recovered'), ('digest.reminder', 'Several still down'), ('channel.failing', 'Channel failing')], max_length=20)),
                ('sequence', models.PositiveIntegerField(default=0)),
                ('occasion', models.DateTimeField(null=True)),
                ('thread', models.UUIDField(null=True)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('sending', 'Sending'), ('merged', 'In a digest'), ('sent', 'Sent'), ('failed', 'Failed'), ('skipped', 'Skipped')], default='pending', max_length=9)),
                ('note', models.CharField(blank=True, choices=[('recovered', 'Recovered before it was sent'), ('not_notified', 'Never notified that it went down'), ('continues', 'Already notified of this outage'), ('down_again', 'Down again before it was sent'), ('acknowledged', 'Already acknowledged'), ('not_late', 'A heartbeat arrived before it was sent'), ('unsubscribed', 'No longer subscribed')], max_length=12)),
                ('created_at', models.DateTimeField()),
                ('planned_at', models.DateTimeField(null=True)),
                ('next_attempt_at', models.DateTimeField(blank=True, null=True)),
                ('attempt_count', models.PositiveIntegerField(default=0)),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'verbose_name': 'delivery',
                'verbose_name_plural': 'deliveries',
            },
        ),
        migrations.CreateModel(
            name='DeliveryAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='notifications.delivery')),
                ('number', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField()),
                ('ok', models.BooleanField()),
                ('detail', models.CharField(blank=True, max_length=500)),
            ],
            options={
                'verbose_name': 'delivery attempt',
                'verbose_name_plural': 'delivery attempts',
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='ChannelRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('monitor', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='channel_rules', to='monitors.monitor')),
                ('channel', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rules', to='notifications.channel')),
                ('subscribed', models.BooleanField(default=True)),
                ('delay', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MaxValueValidator(604800)])),
                ('events', models.JSONField(blank=True, null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('monitor', 'channel'), name='one_rule_a_monitor_and_channel')],
            },
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('next_attempt_at__isnull', False)), fields=['next_attempt_at'], name='delivery_next_attempt'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(models.F('monitor'), models.OrderBy(models.F('created_at'), descending=True), name='delivery_monitor_created'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('incident', 'event', 'sequence', 'channel'), name='one_delivery_an_event_and_channel'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('monitor', 'event', 'occasion', 'channel'), name='one_delivery_an_occasion_and_channel'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('next_attempt_at__isnull', True), ('status__in', ['merged', 'sent', 'failed', 'skipped'])), models.Q(('next_attempt_at__isnull', False), ('status__in', ['pending', 'sending'])), _connector='OR'), name='only_an_open_delivery_has_a_next_attempt'),
        ),
    ]
