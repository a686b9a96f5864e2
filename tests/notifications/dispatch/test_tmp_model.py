import pytest
from hypothesis import settings, Phase, HealthCheck
from hypothesis.stateful import run_state_machine_as_test
from notifications.integrations import kinds
from tests.notifications.dispatch.test_model import People, EXAMPLES
from tests.support.memory_integration import Memory
import os
@pytest.mark.django_db
def test_m(monkeypatch):
    for slug in ("memory","single"):
        monkeypatch.setitem(kinds(), slug, Memory().kind(slug))
    ph=(Phase.explicit,Phase.generate,Phase.shrink) if os.environ.get("SHRINK") else (Phase.explicit,Phase.generate)
    run_state_machine_as_test(People, settings=settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None, phases=ph, database=None, suppress_health_check=list(HealthCheck)))
