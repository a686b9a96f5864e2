"""Labels and choices in plain words; no change in the database."""


from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('notifications', '0005_seal_secrets'),
    ]

    operations = [
        migrations.AlterField(
            model_name='channel',
            name='kind',
            field=models.CharField(max_length=24, verbose_name='integration'),
        ),
        migrations.AlterField(
            model_name='channel',
            name='on_recovery',
            field=models.BooleanField(default=True, verbose_name='recovery'),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='event',
            field=models.CharField(choices=[('incident.opened', 'Down'), ('incident.resolved', 'Recovered'), ('incident.passed', 'Was down'), ('incident.reminder', 'Reminder'), ('monitor.late', 'Late'), ('digest.down', 'Several down'), ('digest.up', 'Several recovered'), ('digest.reminder', 'Several still down'), ('channel.broken', 'Channel failing')], max_length=20),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='note',
            field=models.CharField(blank=True, choices=[('recovered', 'Recovered before it was sent'), ('never_told', 'Never notified that it went down'), ('continues', 'Already notified of this outage'), ('down_again', 'Down again before it was sent'), ('acknowledged', 'Already acknowledged'), ('not_late', 'A heartbeat arrived before it was sent'), ('unwanted', 'No longer subscribed')], max_length=12),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='status',
            field=models.CharField(choices=[('pending', 'Pending'), ('sending', 'Sending'), ('merged', 'In a digest'), ('sent', 'Sent'), ('failed', 'Failed'), ('withdrawn', 'Skipped')], default='pending', max_length=9),
        ),
    ]
