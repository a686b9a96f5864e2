# Invitations, changes of addresses and mail about accounts; and one place for each person's address.

import logging
import uuid
from contextlib import suppress

import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models

log = logging.getLogger(__name__)

ACTIONS = [('monitor.created', 'Monitor created'), ('monitor.changed', 'Settings changed'), ('monitor.paused', 'Paused'), ('monitor.resumed', 'Resumed'), ('monitor.deleted', 'Monitor deleted'), ('token.issued', 'Token issued'), ('token.imported', 'Token imported'), ('token.revealed', 'Token viewed'), ('token.rotated', 'Token rotated'), ('token.overlap_changed', "Old token's expiry changed"), ('token.overlap_ended', 'Old token revoked early'), ('token.renamed', 'Token label changed'), ('token.revoked', 'Token revoked'), ('api_key.created', 'API key created'), ('api_key.revoked', 'API key revoked'), ('workspace.changed', 'Workspace settings changed'), ('member.added', 'Member added'), ('member.changed', 'Member role changed'), ('member.removed', 'Member removed'), ('member.invited', 'Member invited'), ('member.joined', 'Invitation accepted'), ('invitation.declined', 'Invitation declined'), ('invitation.revoked', 'Invitation revoked'), ('email.requested', 'Change of an email address requested'), ('email.changed', 'Email address changed'), ('password.changed', 'Password changed'), ('factor.added', 'Second factor added'), ('factor.removed', 'Second factor removed'), ('codes.renewed', 'Recovery codes generated'), ('channel.created', 'Channel created'), ('channel.changed', 'Channel changed'), ('channel.deleted', 'Channel deleted'), ('incident.noted', 'Incident note changed'), ('incident.acknowledged', 'Incident acknowledged'), ('rules.changed', 'Notification rules changed'), ('monitor.snoozed', 'Snoozed'), ('monitor.unsnoozed', 'Snooze ended'), ('maintenance.planned', 'Maintenance window created'), ('maintenance.changed', 'Maintenance window changed'), ('maintenance.deleted', 'Maintenance window deleted')]
ROLES = [('owner', 'Owner'), ('admin', 'Admin'), ('viewer', 'Viewer')]


def normalized(email):
    """The address as accounts/addresses.py wrote it when this migration was made."""
    name, at, domain = email.strip().rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return f"{name}{at}{domain}".lower()


def bring_addresses_in_line(apps, schema_editor):
    """Make User.email the one address of each person.

    allauth's table lists addresses that were never confirmed, and such as are somebody else's: all of it goes.
    An account without an address takes the confirmed one that it has there. Of accounts whose addresses differ
    in case only, the one that signed in last keeps it; the others get an address that can't receive mail, and an
    administrator decides about them.
    """
    User = apps.get_model("accounts", "User")
    EmailAddress = apps.get_model("account", "EmailAddress")
    alias = schema_editor.connection.alias
    users = User.objects.using(alias)
    for user in users.filter(email=""):
        confirmed = EmailAddress.objects.using(alias).filter(user_id=user.pk, verified=True)
        for address in confirmed.order_by("-primary", "pk"):
            if not users.filter(email__iexact=address.email).exists():
                user.email = address.email
                user.save(update_fields=["email"])
                break
    EmailAddress.objects.using(alias).all().delete()
    same = {}
    for user in users.only("pk", "email", "last_login").order_by("pk"):
        same.setdefault(normalized(user.email), []).append(user)
    for email, owners in same.items():
        # Those who never signed in come last; of those, the older account first.
        owners.sort(key=lambda user: (user.last_login is None, user.last_login and -user.last_login.timestamp(), user.pk))
        for user in reversed(owners[1:]):
            user.email = f"account-{user.pk}@duplicate.invalid"
            user.save(update_fields=["email"])
            log.warning("account %s had the address of another account, and is now %s", user.pk, user.email)
        if owners[0].email != email:
            owners[0].email = email
            owners[0].save(update_fields=["email"])


class Migration(migrations.Migration):

    dependencies = [
        ('account', '0009_emailaddress_unique_primary_email'),
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(bring_addresses_in_line, migrations.RunPython.noop, elidable=True),
        migrations.AddConstraint(
            model_name='user',
            constraint=models.CheckConstraint(condition=models.Q(('email', django.db.models.functions.text.Lower('email'))), name='addresses_are_in_lower_case'),
        ),
        migrations.AlterField(
            model_name='auditentry',
            name='action',
            field=models.CharField(choices=ACTIONS, max_length=24, verbose_name='action'),
        ),
        migrations.AlterField(
            model_name='auditentry',
            name='via',
            field=models.CharField(choices=[('browser', 'browser'), ('api', 'API'), ('admin', 'admin site'), ('command', 'command line'), ('link', 'link in a message')], max_length=8, verbose_name='via'),
        ),
        migrations.CreateModel(
            name='Invitation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('role', models.CharField(choices=ROLES, default='viewer', max_length=8, verbose_name='role')),
                ('created_at', models.DateTimeField(verbose_name='created')),
                ('expires_at', models.DateTimeField(verbose_name='expires')),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='invitations', to=settings.AUTH_USER_MODEL)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='invitations', to='accounts.workspace')),
            ],
            options={
                'verbose_name': 'invitation',
                'verbose_name_plural': 'invitations',
                'constraints': [models.UniqueConstraint(fields=('user', 'workspace'), name='one_invitation_a_user_and_workspace')],
            },
        ),
        migrations.CreateModel(
            name='EmailChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('email', models.EmailField(max_length=254)),
                ('nonce', models.UUIDField(default=uuid.uuid4, unique=True)),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('requests', models.PositiveSmallIntegerField(default=1)),
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='email_change', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='AccountMail',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('email.link', 'Email Link'), ('email.taken', 'Email Taken'), ('email.requested', 'Email Requested'), ('email.changed', 'Email Changed'), ('password.changed', 'Password Changed'), ('factor.changed', 'Factor Changed'), ('invitation', 'Invitation')], max_length=24)),
                ('to', models.EmailField(max_length=254)),
                ('language', models.CharField(max_length=10)),
                ('details', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField()),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(db_index=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
    ]
