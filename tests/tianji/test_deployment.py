"""The image, the Compose files, the units and the manifests are true, and leave no door open.

Their commands run as processes in tests/integration/test_compose.py and tests/integration/test_containers.py.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from scripts import compose
from tests.support.prepared import ROOT
from tianji.cli import own_commands
from tianji.runtime.processes import ROLES

DEPLOY = ROOT / "deploy"
UNITS = sorted(path.name for path in (DEPLOY / "systemd").glob("*.service"))
# The image's user.
USER = 10001


def variables() -> set[str]:
    """The settings that there are."""
    return set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))


def is_a_command(command: list[str]) -> bool:
    """Whether `command` is one of the program's, with a role where it needs one."""
    program, name, *more = command
    return Path(program).name == "tianji" and name in own_commands() and set(more) <= set(ROLES)


# --- The image -----------------------------------------------------------------------------------


@cache
def dockerfile() -> str:
    """The Dockerfile, with lines that are continued on the next as one."""
    return (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def of_the_image(keyword: str) -> dict[str, str]:
    """What ENV or LABEL gives."""
    lines = re.findall(rf"^{keyword} (.*)$", dockerfile(), re.MULTILINE)
    return dict(part.partition("=")[::2] for line in lines for part in shlex.split(line))


def test_the_image_sets_variables_that_there_are():
    ours = {name for name in of_the_image("ENV") if name.startswith("TIANJI_")}
    assert ours
    assert ours <= variables()


def test_alone_the_image_runs_everything_and_keeps_it_in_a_volume():
    (command,) = re.findall(r"^CMD (\[.*\])$", dockerfile(), re.MULTILINE)
    assert json.loads(command) == ["tianji", "run"]
    (volume,) = re.findall(r"^VOLUME (\[.*\])$", dockerfile(), re.MULTILINE)
    assert of_the_image("ENV")["TIANJI_DATA"] in json.loads(volume)


def test_the_image_has_its_static_files_already():
    assert "prepare --static-only" in dockerfile()
    assert f"TIANJI_STATIC={of_the_image('ENV')['TIANJI_STATIC']} " in dockerfile()


def test_the_image_runs_as_a_user_without_privileges_who_has_a_number():
    assert f"useradd --uid {USER} " in dockerfile()
    assert re.findall(r"^USER (\w+)$", dockerfile(), re.MULTILINE) == ["tianji"]


def test_the_image_is_labelled_as_the_package_is():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = of_the_image("LABEL")
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}description"] == project["description"]
    assert labels[f"{prefix}licenses"] == project["license"]
    assert labels[f"{prefix}source"] == project["urls"]["Source"]
    assert labels[f"{prefix}documentation"] == project["urls"]["Documentation"]
    arguments = set(re.findall(r"^ARG (\w+)", dockerfile(), re.MULTILINE))
    assert {labels[f"{prefix}{name}"] for name in ("version", "revision")} == {"${VERSION}", "${REVISION}"}
    made = subprocess.run(
        ["make", "-n", "image"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"--build-arg (\w+)=", made)) == {"VERSION", "REVISION"} <= arguments


def test_the_image_has_a_python_that_the_package_supports():
    (version,) = re.findall(r"^ARG PYTHON_VERSION=(\S+)$", dockerfile(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    supported = re.findall(r"Programming Language :: Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert version in supported
    assert project["requires-python"] == f">={supported[0]}"
    sentence = f"Python {', '.join(supported[:-1])} or {supported[-1]}. The image has {version}."
    assert sentence in (ROOT / "docs" / "install.md").read_text()


# --- Compose -------------------------------------------------------------------------------------

COMPOSE = ("docker-compose.yml", "deploy/docker-compose.yml")


def composed(file: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / file).read_text())


def test_the_compose_file_for_a_registry_is_made_from_the_one_for_a_checkout():
    """After a change: `make compose`."""
    assert compose.MADE.read_text() == compose.made()


def test_the_compose_file_for_a_registry_needs_only_what_is_beside_it():
    file = composed("deploy/docker-compose.yml")
    for name, service in file["services"].items():
        assert "build" not in service, name
        mounts = {str(volume).partition(":")[0] for volume in service.get("volumes", [])}
        files = mounts - file["volumes"].keys()
        assert all((DEPLOY / path).is_file() and path == f"./{Path(path).name}" for path in files), name


@pytest.mark.parametrize("file", COMPOSE)
def test_no_service_has_more_than_it_needs(file: str):
    for name, service in composed(file)["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["tmpfs"], name
        assert service["mem_limit"], name
        assert service["pids_limit"] >= 1024, name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert "privileged" not in service
    added = {name for name, service in composed(file)["services"].items() if "cap_add" in service}
    assert added <= {"proxy"}


@pytest.mark.parametrize("file", COMPOSE)
def test_only_the_proxy_can_be_reached_and_the_database_reaches_nothing(file: str):
    stack = composed(file)
    assert stack["networks"]["data"]["internal"] is True
    for name in ("db", "redis", "prepare", "beat"):
        assert stack["services"][name]["networks"] == ["data"], name
    for name in ("web", "worker"):
        assert set(stack["services"][name]["networks"]) == {"default", "data"}, name
    assert "networks" not in stack["services"]["proxy"]
    assert {name for name, service in stack["services"].items() if "ports" in service} == {"proxy"}


@pytest.mark.parametrize("file", COMPOSE)
def test_what_the_image_writes_to_can_be_written_to(file: str):
    environment = of_the_image("ENV")
    written = {environment["TIANJI_DATA"], str(Path(environment["TIANJI_ALIVE"]).parent)}
    for role in ROLES:
        assert written <= set(composed(file)["services"][role]["tmpfs"])


@pytest.mark.parametrize("file", COMPOSE)
def test_a_slow_machine_has_three_minutes_and_a_quick_one_does_not_wait(file: str):
    services = composed(file)["services"]
    for role in ROLES:
        check = services[role]["healthcheck"]
        assert (check["start_period"], check["start_interval"]) == ("180s", "2s"), role
    # Compose gives up what waits for a service to be healthy when it isn't in time.
    assert services["proxy"]["depends_on"]["web"]["condition"] == "service_started"


@pytest.mark.parametrize("file", COMPOSE)
def test_every_variable_of_our_services_is_a_setting(file: str):
    services = composed(file)["services"]
    for name in ("prepare", *ROLES):
        assert set(services[name]["environment"]) <= variables(), name
        assert is_a_command(services[name]["command"]), name


def test_variables_of_the_compose_files_alone_are_documented():
    page = (ROOT / "docs" / "settings.md").read_text().partition("## Compose file only")[2]
    used = {name for file in COMPOSE for name in re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / file).read_text())}
    assert {name for name in used - variables() if f"`{name}`" not in page} == set()


def test_what_the_file_of_settings_is_said_to_need_is_what_the_compose_files_require():
    for file, page in (("docker-compose.yml", "operations.md"), ("deploy/docker-compose.yml", "install.md")):
        required = set(re.findall(r"\$\{(\w+):\?", (ROOT / file).read_text()))
        (written,) = re.findall(
            r"cat > \.env <<END\n(.*?)^END$", (ROOT / "docs" / page).read_text(), re.S | re.M
        )
        assert required == {line.partition("=")[0] for line in written.splitlines()} - {"TIANJI_URL"}


# --- systemd -------------------------------------------------------------------------------------


def unit(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((DEPLOY / "systemd" / name).read_text())
    return parser


def test_there_is_a_unit_for_one_machine_and_one_for_each_process():
    assert sorted(["tianji.service", *(f"tianji-{role}.service" for role in ROLES)]) == UNITS
    assert unit("tianji.service")["Service"]["ExecStart"] == "/opt/tianji/bin/tianji up"
    for role in ROLES:
        service = unit(f"tianji-{role}.service")["Service"]
        assert service["ExecStart"] == f"/opt/tianji/bin/tianji run {role}"
        assert service["ExecStartPre"] == "/opt/tianji/bin/tianji prepare"


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_a_command_that_there_is_again_and_again(name: str):
    service = unit(name)["Service"]
    for option in ("ExecStart", "ExecStartPre"):
        assert is_a_command(service.get(option, "/opt/tianji/bin/tianji prepare").split())
    assert service["Restart"] == "always"
    assert unit(name)["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit(name)["Install"]["WantedBy"] == "multi-user.target"
    assert {line.partition("=")[0] for line in service["Environment"].split()} <= variables()


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_a_process_as_little_as_it_needs(name: str):
    service = unit(name)["Service"]
    assert service["User"] == "tianji"
    assert service["UMask"] == "0077"
    assert service["StateDirectoryMode"] == "0700"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"
    assert service["ProtectHome"] == "yes"
    assert service["PrivateTmp"] == "yes"
    assert int(service["TasksMax"]) >= 1024
    assert service["MemoryMax"]


@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_a_unit(name: str, tmp_path: Path):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed, so the unit was not looked at by it")
    text = (DEPLOY / "systemd" / name).read_text().replace("/opt/tianji/bin/tianji", "/bin/true")
    (tmp_path / name).write_text(text)
    looked = subprocess.run(
        [program, "verify", "--man=no", tmp_path / name], capture_output=True, text=True, check=False
    )
    # Of other units on this machine, too, it says what it doesn't like.
    assert [line for line in looked.stderr.splitlines() if name in line] == []


def test_what_the_page_copies_is_there():
    page = (ROOT / "docs" / "install.md").read_text()
    named = set(re.findall(r"deploy/[\w./-]+\w", page))
    assert {f"deploy/systemd/{name}" for name in UNITS} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


# --- Kubernetes ----------------------------------------------------------------------------------

MANIFESTS = DEPLOY / "kubernetes"


@cache
def kustomization() -> dict[str, Any]:
    return yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())


@cache
def manifests() -> list[dict[str, Any]]:
    files = [MANIFESTS / name for name in kustomization()["resources"]]
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def deployments() -> dict[str, dict[str, Any]]:
    """The Deployment of each role."""
    found = {each["metadata"]["name"]: each for each in manifests() if each["kind"] == "Deployment"}
    return {name.removeprefix("tianji-"): each for name, each in found.items()}


def pod(role: str) -> dict[str, Any]:
    return deployments()[role]["spec"]["template"]["spec"]


def containers(role: str) -> list[dict[str, Any]]:
    return [*pod(role)["initContainers"], *pod(role)["containers"]]


def test_every_manifest_is_in_the_kustomization_and_there_is_a_deployment_for_each_role():
    files = {path.name for path in MANIFESTS.iterdir()} - {"kustomization.yaml"}
    assert set(kustomization()["resources"]) == files
    assert set(deployments()) == set(ROLES)
    for each in manifests():
        assert each["apiVersion"]
        assert each["metadata"]["name"].startswith("tianji")


@pytest.mark.parametrize("role", ROLES)
def test_each_container_runs_a_command_that_there_is_with_the_image_of_the_kustomization(role: str):
    (image,) = kustomization()["images"]
    for container in containers(role):
        assert container["image"] == image["name"]
        assert is_a_command(container["command"])
    (prepare,), (main,) = pod(role)["initContainers"], pod(role)["containers"]
    assert prepare["command"] == ["tianji", "prepare"]
    assert main["command"] == ["tianji", "run", role]


@pytest.mark.parametrize("role", ROLES)
def test_each_container_has_its_settings_from_the_map_and_its_secrets_from_the_secret(role: str):
    (generated,) = kustomization()["configMapGenerator"]
    for container in containers(role):
        assert container["envFrom"] == [
            {"configMapRef": {"name": generated["name"]}},
            {"secretRef": {"name": "tianji"}},
        ]
    assert {line.partition("=")[0] for line in generated["literals"]} <= variables()
    page = (ROOT / "docs" / "install.md").read_text()
    secret = set(re.findall(r"--from-literal=(\w+)=", page))
    assert secret == {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"}
    assert secret <= variables()
    assert all(each["kind"] != "Secret" for each in manifests())


@pytest.mark.parametrize("role", ROLES)
def test_no_pod_has_more_than_it_needs(role: str):
    assert pod(role)["automountServiceAccountToken"] is False
    # A Service's variables look like settings.
    assert pod(role)["enableServiceLinks"] is False
    context = pod(role)["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, USER)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(role):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    (namespace,) = [each for each in manifests() if each["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("role", ROLES)
def test_what_a_pod_writes_to_can_be_written_to(role: str):
    environment = of_the_image("ENV")
    written = {environment["TIANJI_DATA"], str(Path(environment["TIANJI_ALIVE"]).parent)}
    volumes = {volume["name"]: volume for volume in pod(role)["volumes"]}
    for container in containers(role):
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == written
        assert all("emptyDir" in volumes[mount["name"]] for mount in container["volumeMounts"])


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_may_take_its_time_to_start_and_is_restarted_when_it_hangs(role: str):
    (main,) = pod(role)["containers"]
    start = main["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 180
    assert main["livenessProbe"]
    if role == "web":
        assert main["readinessProbe"]["httpGet"]["path"] == "/readyz"
        # What restarts it must not depend on the database.
        assert main["livenessProbe"]["httpGet"]["path"] == "/livez"


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_has_as_long_to_stop_as_its_container_in_the_compose_file(role: str):
    stop = composed("docker-compose.yml")["services"][role]["stop_grace_period"]
    assert pod(role)["terminationGracePeriodSeconds"] >= int(stop.removesuffix("s"))


def test_there_is_one_celery_beat_and_never_two_during_an_update():
    spec = deployments()["beat"]["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


def test_an_update_of_the_web_server_takes_none_away_before_another_is_ready():
    spec = deployments()["web"]["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_selectors_find_their_pods_and_ports_their_containers():
    for role, deployment in deployments().items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items(), role
    web = deployments()["web"]["spec"]["template"]["metadata"]["labels"]
    (port,) = pod("web")["containers"][0]["ports"]
    assert str(port["containerPort"]) == of_the_image("ENV")["TIANJI_PORT"]
    services = {each["metadata"]["name"]: each["spec"] for each in manifests() if each["kind"] == "Service"}
    for service in services.values():
        assert service["selector"].items() <= web.items()
        assert [each["targetPort"] for each in service["ports"]] == [port["name"]]
    (budget,) = [each["spec"] for each in manifests() if each["kind"] == "PodDisruptionBudget"]
    assert budget["selector"]["matchLabels"].items() <= web.items()
    (ingress,) = [each["spec"] for each in manifests() if each["kind"] == "Ingress"]
    backends = [path["backend"]["service"] for rule in ingress["rules"] for path in rule["http"]["paths"]]
    assert backends
    for backend in backends:
        assert backend["port"]["name"] in {each["name"] for each in services[backend["name"]]["ports"]}
    literals = dict(line.split("=") for line in kustomization()["configMapGenerator"][0]["literals"])
    assert [f"https://{rule['host']}" for rule in ingress["rules"]] == [literals["TIANJI_URL"]]


def test_a_probe_asks_under_a_name_that_is_allowed():
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = pod("web")["containers"][0][probe]["httpGet"]
        (header,) = asked["httpHeaders"]
        assert (header["name"], header["value"]) == ("Host", "localhost")
        assert "localhost" in settings.ALLOWED_HOSTS
