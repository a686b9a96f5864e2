from collections import defaultdict
from itertools import count

from django.db import migrations
from django.utils.text import slugify

BATCH = 1000
LENGTH = 53


def give_slugs(apps, schema_editor):
    """Give each monitor the slug of its name, with a number where another of its workspace has it."""
    Monitor = apps.get_model("monitors", "Monitor")
    taken = defaultdict(set)
    named = []
    for monitor in Monitor.objects.filter(slug="").order_by("pk").only("pk", "name", "workspace_id").iterator():
        words = slugify(monitor.name).replace("_", "-")[:LENGTH].split("-")
        wanted = "-".join(word for word in words if word) or "monitor"
        others = taken[monitor.workspace_id]
        monitor.slug = wanted
        if wanted in others:
            monitor.slug = next(slug for n in count(2) if (slug := f"{wanted}-{n}") not in others)
        others.add(monitor.slug)
        named.append(monitor)
    Monitor.objects.bulk_update(named, ["slug"], batch_size=BATCH)


class Migration(migrations.Migration):
    dependencies = [("monitors", "0003_tokens_and_slugs")]

    operations = [migrations.RunPython(give_slugs, migrations.RunPython.noop)]
