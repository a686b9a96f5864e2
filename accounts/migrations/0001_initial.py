# The initial state of the tables. Later migrations add to it; this one is not edited any more.

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='SetupLink',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Workspace',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('push_rate', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MaxValueValidator(1000000)], verbose_name='pushes per minute')),
                ('token_age_days', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MaxValueValidator(3650)], verbose_name='remind about tokens older than')),
                ('language', models.CharField(default='en', max_length=10, verbose_name='notification language')),
                ('timezone', models.CharField(default='UTC', max_length=64, verbose_name='notification time zone')),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='created')),
            ],
            options={
                'verbose_name': 'workspace',
                'verbose_name_plural': 'workspaces',
                'ordering': ['name', 'id'],
            },
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('email', models.EmailField(max_length=254, unique=True, verbose_name='email address')),
                ('is_staff', models.BooleanField(default=False, verbose_name='can access the admin site')),
                ('is_active', models.BooleanField(default=True, verbose_name='active')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now, verbose_name='joined')),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'verbose_name': 'user',
                'verbose_name_plural': 'users',
            },
        ),
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to='accounts.workspace')),
                ('name', models.CharField(max_length=60, verbose_name='name')),
                ('scope', models.CharField(choices=[('read', 'Read'), ('write', 'Read and write')], default='read', max_length=5, verbose_name='scope')),
                ('digest', models.CharField(editable=False, max_length=64, unique=True)),
                ('last_four', models.CharField(editable=False, max_length=4)),
                ('created_at', models.DateTimeField(verbose_name='created')),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('expires_at', models.DateTimeField(blank=True, null=True, verbose_name='expires')),
                ('revoked_at', models.DateTimeField(blank=True, null=True, verbose_name='revoked')),
                ('last_used_at', models.DateTimeField(blank=True, null=True, verbose_name='last used')),
                ('last_used_from', models.GenericIPAddressField(blank=True, null=True, verbose_name='last used from')),
            ],
            options={
                'verbose_name': 'API key',
                'verbose_name_plural': 'API keys',
                'ordering': ['-created_at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='StoredResponse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('owner', models.CharField(max_length=60)),
                ('key', models.CharField(max_length=255)),
                ('request_digest', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(db_index=True)),
                ('status', models.PositiveSmallIntegerField(null=True)),
                ('sealed', models.TextField(blank=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('owner', 'key'), name='one_answer_an_owner_and_key')],
            },
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='accounts.workspace')),
                ('role', models.CharField(choices=[('owner', 'Owner'), ('admin', 'Admin'), ('viewer', 'Viewer')], default='viewer', max_length=8, verbose_name='role')),
            ],
            options={
                'verbose_name': 'membership',
                'verbose_name_plural': 'memberships',
                'constraints': [models.UniqueConstraint(fields=('user', 'workspace'), name='one_membership_a_user_and_workspace')],
            },
        ),
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='audit_entries', to='accounts.workspace')),
                ('at', models.DateTimeField(verbose_name='time')),
                ('action', models.CharField(choices=[('monitor.created', 'Monitor created'), ('monitor.changed', 'Settings changed'), ('monitor.paused', 'Paused'), ('monitor.resumed', 'Resumed'), ('monitor.deleted', 'Monitor deleted'), ('token.issued', 'Token issued'), ('token.imported', 'Token imported'), ('token.revealed', 'Token viewed'), ('token.rotated', 'Token rotated'), ('token.overlap_changed', "Old token's expiry changed"), ('token.overlap_ended', 'Old token revoked early'), ('token.renamed', 'Token label changed'), ('token.revoked', 'Token revoked'), ('api_key.created', 'API key created'), ('api_key.revoked', 'API key revoked'), ('workspace.changed', 'Workspace settings changed'), ('member.added', 'Member added'), ('member.changed', 'Member role changed'), ('member.removed', 'Member removed'), ('channel.created', 'Channel created'), ('channel.changed', 'Channel changed'), ('channel.deleted', 'Channel deleted'), ('incident.noted', 'Incident note changed'), ('incident.acknowledged', 'Incident acknowledged'), ('rules.changed', 'Notification rules changed'), ('monitor.snoozed', 'Snoozed'), ('monitor.unsnoozed', 'Snooze ended'), ('maintenance.planned', 'Maintenance window created'), ('maintenance.changed', 'Maintenance window changed'), ('maintenance.deleted', 'Maintenance window deleted')], max_length=24, verbose_name='action')),
                ('actor', models.CharField(max_length=254, verbose_name='actor')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('api_key', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='accounts.apikey')),
                ('via', models.CharField(choices=[('browser', 'browser'), ('api', 'API'), ('admin', 'admin site'), ('command', 'command line'), ('link', 'link in a notification')], max_length=8, verbose_name='via')),
                ('address', models.GenericIPAddressField(blank=True, null=True, verbose_name='IP address')),
                ('subject', models.UUIDField(null=True)),
                ('subject_name', models.CharField(blank=True, max_length=100, verbose_name='target')),
                ('details', models.JSONField(default=dict)),
            ],
            options={
                'verbose_name': 'audit log entry',
                'verbose_name_plural': 'audit log',
                'ordering': ['-at', '-id'],
                'indexes': [models.Index(models.F('subject'), models.OrderBy(models.F('at'), descending=True), name='audit_subject_at'), models.Index(models.F('workspace'), models.OrderBy(models.F('at'), descending=True), name='audit_workspace_at')],
            },
        ),
    ]
