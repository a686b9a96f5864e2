import pytest
from django.db import transaction
from tests.notifications import test_rules_model as m
from notifications.kinds import kinds
from notifications.models import Delivery

@pytest.mark.django_db
def test_dbg():
    p = m.People()
    p.make((0,0,0), False)
    for f in (lambda: p.push(0,"down"), lambda: p.deliver({}), lambda: p.wait(65), lambda: p.push(0,"up"), lambda: p.wait(65), lambda: p.push(0,"down"), lambda: p.wait(65), lambda:p.push(0,"up"), lambda:p.wait(65)):
        f()
    for _ in range(4): p.deliver({}); p.wait(65)
    print([(b, o.payload["event"]) for b,o in p.memory.arrived], p.wrong, dict(p.belief), p.silenced)
    print(list(Delivery.objects.values_list("channel__config","event","status","note")))
    p._transaction.__exit__(None,None,None)
    assert 0
