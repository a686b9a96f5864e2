"""What each channel was last sent about each monitor, instead of the deliveries that are to come."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class RemoveConstraint(migrations.RemoveConstraint):
    """On SQLite, the constraint goes when the table is copied for AddField: copying a long log takes long."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != "sqlite":
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class AddColumn(migrations.AddField):
    """A column with a constant default, which SQLite can add without copying the table."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != "sqlite":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        before, after = (state.apps.get_model(app_label, self.model_name) for state in (from_state, to_state))
        BaseDatabaseSchemaEditor.add_field(schema_editor, before, after._meta.get_field(self.name))


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0001_initial"),
        ("monitors", "0007_urgency"),
        ("notifications", "0002_thresholds_moved"),
    ]

    operations = [
        migrations.CreateModel(
            name='Belief',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('nothing', 'Nothing'), ('up', 'Up'), ('late', 'Late'), ('down', 'Down'), ('flapping', 'Flapping')], default='nothing', max_length=8)),
                ('outage', models.UUIDField(null=True)),
                ('sequence', models.PositiveIntegerField(default=0)),
                ('after_incident', models.BigIntegerField(default=0)),
                ('reminders', models.PositiveSmallIntegerField(default=0)),
                ('late_after', models.DateTimeField(null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('check_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='EscalationStep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('after', models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(60), django.core.validators.MaxValueValidator(604800)], verbose_name='if not acknowledged within')),
                ('least_urgency', models.CharField(choices=[('low', 'Low'), ('normal', 'Normal'), ('high', 'High')], default='low', max_length=6, verbose_name='monitors with an urgency of at least')),
            ],
        ),
        RemoveConstraint(
            model_name='delivery',
            name='one_delivery_an_event_and_channel',
        ),
        RemoveConstraint(
            model_name='delivery',
            name='one_delivery_an_occasion_and_channel',
        ),
        # The name of the column stays.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField("delivery", "thread", models.UUIDField(db_column="thread", null=True)),
                migrations.RenameField("delivery", "thread", "outage"),
            ],
        ),
        migrations.AddField(
            model_name='channel',
            name='burst',
            field=models.PositiveSmallIntegerField(db_default=5, default=5, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(20)], verbose_name='messages in 30 seconds'),
        ),
        migrations.AddField(
            model_name='channel',
            name='digest_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='channel',
            name='least_urgency',
            field=models.CharField(choices=[('low', 'Low'), ('normal', 'Normal'), ('high', 'High')], db_default='low', default='low', max_length=6, verbose_name='only monitors with an urgency of at least'),
        ),
        migrations.AddField(
            model_name='channel',
            name='quiet_from',
            field=models.TimeField(blank=True, null=True, verbose_name='quiet from'),
        ),
        migrations.AddField(
            model_name='channel',
            name='quiet_timezone',
            field=models.CharField(db_default='UTC', default='UTC', max_length=64, verbose_name='time zone of the quiet hours'),
        ),
        migrations.AddField(
            model_name='channel',
            name='quiet_until',
            field=models.TimeField(blank=True, null=True, verbose_name='quiet until'),
        ),
        migrations.AddField(
            model_name='delivery',
            name='about',
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name='delivery',
            name='reason',
            field=models.CharField(blank=True, choices=[('paused', 'Monitor paused'), ('deleted', 'Monitor deleted'), ('unsubscribed', 'Channel unsubscribed'), ('not_covered', 'No longer covered by the rules'), ('arrived', 'A heartbeat arrived')], db_default='', default='', max_length=12),
        ),
        AddColumn(
            model_name='delivery',
            name='reminder',
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='monitorrules',
            name='flap_changes',
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='workspacerules',
            name='flap_changes',
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='event',
            field=models.CharField(choices=[('incident.opened', 'Down'), ('incident.resolved', 'Recovered'), ('incident.passed', 'Was down'), ('incident.ended', 'Closed'), ('incident.reminder', 'Reminder'), ('monitor.late', 'Late'), ('monitor.flapping', 'Flapping'), ('digest', 'Digest'), ('channel.failing', 'Channel failing'), ('digest.down', 'Several down'), ('digest.up', 'Several recovered'), ('digest.reminder', 'Several still down')], max_length=20),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='note',
            field=models.CharField(blank=True, choices=[('recovered', 'Recovered before it was sent'), ('acknowledged', 'Already acknowledged'), ('unsubscribed', 'No longer subscribed'), ('outdated', 'Outdated before it arrived: replaced by a newer notification'), ('paused', 'Paused before it was sent'), ('not_notified', 'Never notified that it went down'), ('continues', 'Already notified of this outage'), ('down_again', 'Down again before it was sent'), ('not_late', 'A heartbeat arrived before it was sent')], max_length=12),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(models.F('channel'), models.OrderBy(models.F('created_at'), descending=True), name='delivery_channel_created'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(condition=models.Q(('subject__isnull', False)), fields=('subject', 'occasion', 'channel'), name='one_delivery_a_failing_channel'),
        ),
        migrations.AddField(
            model_name='belief',
            name='channel',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='beliefs', to='notifications.channel'),
        ),
        migrations.AddField(
            model_name='belief',
            name='delivery',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='beliefs', to='notifications.delivery'),
        ),
        migrations.AddField(
            model_name='belief',
            name='incident',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='monitors.incident'),
        ),
        migrations.AddField(
            model_name='belief',
            name='monitor',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='beliefs', to='monitors.monitor'),
        ),
        migrations.AddField(
            model_name='escalationstep',
            name='channel',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='escalation_steps', to='notifications.channel'),
        ),
        migrations.AddField(
            model_name='escalationstep',
            name='workspace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='escalation_steps', to='accounts.workspace'),
        ),
        migrations.AddIndex(
            model_name='belief',
            index=models.Index(condition=models.Q(('check_at__isnull', False)), fields=['channel', 'check_at'], name='belief_check'),
        ),
        migrations.AddConstraint(
            model_name='belief',
            constraint=models.UniqueConstraint(fields=('monitor', 'channel'), name='one_belief_a_monitor_and_channel'),
        ),
        migrations.AddConstraint(
            model_name='escalationstep',
            constraint=models.UniqueConstraint(fields=('workspace', 'channel'), name='one_escalation_step_a_workspace_and_channel'),
        ),
        # The columns stay in the database until a later version: processes of the version before still use
        # them while an upgrade is running. This comes last: SQLite copies the columns that it knows into a new
        # table when another one is added.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveField("channel", "downs_until"),
                migrations.RemoveField("channel", "ups_until"),
            ],
        ),
    ]
