"""After a backup was restored: what waited when it was made is of another time."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from notifications.models import Belief, Delivery


def hold(*, until: datetime) -> None:
    """Let what waits in a database that was just restored wait `until` then, when monitors had time to push.

    It is compared with the truth then, as always: most of it is over by then. What happens from now on
    doesn't wait. To be called before any process uses the database.
    """
    waiting = Q(next_attempt_at__lt=until)
    # No process is sending it; a channel with a message in flight would have to wait.
    Delivery.objects.filter(waiting, status=Delivery.Status.SENDING).update(
        status=Delivery.Status.PENDING, next_attempt_at=until
    )
    Delivery.objects.filter(waiting, status=Delivery.Status.PENDING).update(next_attempt_at=until)
    Belief.objects.filter(check_at__lt=until).update(check_at=until)
