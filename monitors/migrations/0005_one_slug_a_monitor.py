from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("monitors", "0004_name_monitors_by_slug")]

    operations = [
        migrations.AddConstraint(
            model_name="monitor",
            constraint=models.UniqueConstraint(
                fields=("workspace", "slug"), name="one_monitor_a_workspace_and_slug"
            ),
        ),
    ]
