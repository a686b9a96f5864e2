from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("monitors", "0006_thresholds"),
    ]

    operations = [
        migrations.AddField(
            model_name='monitor',
            name='urgency',
            field=models.CharField(choices=[('low', 'Low'), ('normal', 'Normal'), ('high', 'High')], db_default='normal', default='normal', max_length=6, verbose_name='urgency'),
        ),
    ]
