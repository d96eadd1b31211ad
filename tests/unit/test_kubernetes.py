"""The manifests of deploy/kubernetes are Kubernetes', and say what the settings, the image and the roles do."""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

import lift.cli
from lift.settings import Settings
from lift.stack.folder import StateFolder

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OLDEST = "1.27"  # since when probes of gRPC are stable
NEWEST = kubernetes_validate.latest_version().rpartition(".")[0]

KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
MANIFESTS: list[dict[str, Any]] = [
    manifest for file in KUSTOMIZATION["resources"] for manifest in yaml.safe_load_all((FOLDER / file).read_text())
]
SECRETS = dict(line.split("=", 1) for line in (FOLDER / "example.env").read_text().splitlines() if line[0] != "#")
ROLES = {
    manifest["metadata"]["name"]: manifest
    for manifest in MANIFESTS
    if manifest["kind"] in {"Deployment", "StatefulSet"}
}
POD = "engine-0"


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """Name → spec."""
    return {manifest["metadata"]["name"]: manifest["spec"] for manifest in MANIFESTS if manifest["kind"] == kind}


def pod_of(role: str) -> dict[str, Any]:
    return ROLES[role]["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def container_of(role: str) -> dict[str, Any]:
    (container,) = pod_of(role)["containers"]
    return container  # type: ignore[no-any-return]


def reached(selector: dict[str, Any]) -> set[str]:
    """The roles whose pods have all labels of a selector."""
    wanted = selector.get("matchLabels", selector).items()
    return {name for name, role in ROLES.items() if wanted <= role["spec"]["template"]["metadata"]["labels"].items()}


def environment_of(role: str) -> dict[str, str]:
    """As the role's container sees it, with the example's secrets."""
    found = {"LIFT_STATE_DIR": re.search(r"LIFT_STATE_DIR=(\S+)", DOCKERFILE)[1]}  # type: ignore[index]
    for variable in container_of(role)["env"]:
        match variable:
            case {"name": name, "valueFrom": {"secretKeyRef": {"name": "secrets", "key": key}}}:
                found[name] = SECRETS[key]
            case {"name": name, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}:
                found[name] = POD
            case {"name": name, "value": value}:  # only variables above it are there
                found[name] = re.sub(r"\$\((\w+)\)", lambda named: found[named[1]], value)
            case _:
                pytest.fail(f"{variable} is none of these")
    return found


@pytest.fixture
def settings(monkeypatch):
    """What each role reads."""
    for name in [name for name in os.environ if name.startswith("LIFT_")]:
        monkeypatch.delenv(name)
    (config,) = KUSTOMIZATION["configMapGenerator"]
    read = {}
    for role in ROLES:
        with monkeypatch.context() as environment:
            for name, value in environment_of(role).items():
                environment.setenv(name, value)
            path = Path(os.environ["LIFT_CONFIG"])
            assert path.name in config["files"]
            environment.setenv("LIFT_CONFIG", str(FOLDER / path.name))
            read[role] = Settings.read()
    return read


def ports_of(settings: Settings, role: str) -> dict[str, int]:
    """The ports on which a role listens for others, by the host that it is given."""
    section = getattr(settings, role).model_dump()
    hosts = {"": "grpc", "admin_": "admin", "http_": "http"}
    return {name: section[f"{of}port"] for of, name in hosts.items() if section.get(f"{of}host") == "0.0.0.0"}  # noqa: S104


def declared(role: str) -> dict[str, int]:
    """The ports of a role's container, by their names."""
    return {port["name"]: port["containerPort"] for port in container_of(role)["ports"]}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda it: f"{it['kind']}-{it['metadata']['name']}")
def test_every_manifest_is_as_kubernetes_has_it(manifest, version):
    assert kubernetes_validate.validate(manifest, version, strict=True) == version


def test_every_file_of_the_folder_is_used():
    generated = KUSTOMIZATION["configMapGenerator"][0]["files"]
    used = {"kustomization.yaml", "README.md", "example.env", *KUSTOMIZATION["resources"], *generated}
    assert {file.name for file in FOLDER.iterdir()} - {".env"} == used


def test_secrets_come_from_a_file_that_git_leaves_alone():
    (secrets,) = KUSTOMIZATION["secretGenerator"]
    assert secrets["envs"] == [".env"]
    assert "deploy/kubernetes/.env" in (ROOT / ".gitignore").read_text().splitlines()
    assert "Secret" not in {manifest["kind"] for manifest in MANIFESTS}


def test_every_variable_is_a_setting_and_every_secret_is_there_and_used(settings):
    used = set()
    for role, read in settings.items():
        given = environment_of(role)
        used |= given.keys() & SECRETS.keys()
        assert given["LIFT_NODE_TOKEN"] == read.node_token.get_secret_value()
        for name in given.keys() - {"LIFT_NODE_TOKEN", "LIFT_STATE_DIR", "LIFT_CONFIG", "HF_TOKEN"}:
            section, key = name.removeprefix("LIFT_").lower().split("__")
            value = getattr(getattr(read, section), key)
            assert given[name] == getattr(value, "get_secret_value", lambda value=value: value)()
    assert used == SECRETS.keys()


def test_a_role_has_no_secret_that_it_does_not_need():
    stores = {"LIFT_CATALOGUE__URL", "LIFT_OBJECTS__ACCESS_KEY", "LIFT_OBJECTS__SECRET_KEY"}
    needed = {
        "gateway": {*stores, "LIFT_QUEUE__URL", "LIFT_GATEWAY__OPERATOR_KEY"},
        "generator": {"LIFT_GENERATOR__API_KEY"},
        "trainer": {*stores, "LIFT_QUEUE__URL", "HF_TOKEN"},
        "engine": {*stores, "HF_TOKEN"},
    }
    for role, secrets in needed.items():
        assert environment_of(role).keys() & SECRETS.keys() == {*secrets, "LIFT_NODE_TOKEN"}


def test_every_name_that_a_pod_refers_to_is_there():
    (config,) = KUSTOMIZATION["configMapGenerator"]
    for role in ROLES:
        volumes = {volume["name"]: volume for volume in pod_of(role)["volumes"]}
        mounted = {mount["name"]: mount["mountPath"] for mount in container_of(role)["volumeMounts"]}
        assert volumes.keys() == mounted.keys()
        assert volumes["settings"]["configMap"]["name"] == config["name"]
        environment = environment_of(role)
        assert environment["LIFT_CONFIG"] == f"{mounted['settings']}/{config['files'][0]}"
        assert environment["LIFT_STATE_DIR"] == mounted["state"]
        assert "emptyDir" in volumes["state"]


def test_images_are_targets_of_the_dockerfile():
    targets = set(re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE, re.MULTILINE))
    images = {container_of(role)["image"] for role in ROLES}
    assert {image.removeprefix("lift-") for image in images} <= targets
    assert {image["name"] for image in KUSTOMIZATION["images"]} == images
    assert {role for role in ROLES if container_of(role)["image"] == "lift-cuda"} == {"trainer", "engine"}


def test_replicas_are_given_to_every_role():
    assert {replicas["name"] for replicas in KUSTOMIZATION["replicas"]} == ROLES.keys()


@pytest.mark.parametrize("role", ROLES)
def test_a_container_becomes_its_role(role):
    commands: Any = typer.main.get_command(lift.cli.app)
    container = container_of(role)
    script = container["command"][-1] if "command" in container else f"exec lift {container['args'][0]}"
    assert shlex.split(script)[-3:] == ["exec", "lift", role]
    assert role in commands.commands


@pytest.mark.parametrize("role", ROLES)
def test_selectors_match_the_labels_of_their_role_alone(role):
    spec = ROLES[role]["spec"]
    (spread,) = pod_of(role)["topologySpreadConstraints"]
    selectors = [spec["selector"], spread["labelSelector"], of_kind("PodDisruptionBudget")[role]["selector"]]
    assert [reached(selector) for selector in selectors] == [{role}] * 3


def test_services_reach_the_ports_on_which_the_roles_listen(settings):
    served: dict[str, dict[str, int]] = {}
    for name, spec in of_kind("Service").items():
        (role,) = reached(spec["selector"])
        for port in spec["ports"]:
            served.setdefault(role, {})["admin" if name == "admin" else port["name"]] = port["port"]
    for role in ("gateway", "generator", "engine"):
        listens = ports_of(settings[role], role)
        assert served[role] == listens
        assert declared(role) == {**listens, "metrics": getattr(settings[role], role).metrics_port}
    assert "trainer" not in served
    assert len(of_kind("Service")["admin"]["ports"]) == 1
    assert of_kind("Service")["admin"]["type"] == "ClusterIP"


@pytest.mark.parametrize("role", ROLES)
def test_prometheus_finds_a_role_s_metrics_where_it_serves_them(settings, role):
    section = getattr(settings[role], role)
    assert section.metrics_host == "0.0.0.0"  # noqa: S104
    assert declared(role)["metrics"] == section.metrics_port
    annotations = ROLES[role]["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": str(section.metrics_port)}


def test_nobody_but_prometheus_reaches_metrics_and_it_nothing_else(settings):
    policy = of_kind("NetworkPolicy")["metrics"]
    assert reached(policy["podSelector"]) == set(ROLES)
    (rule,) = policy["ingress"]
    (caller,) = rule["from"]
    assert caller.keys() == {"namespaceSelector"}
    assert caller["namespaceSelector"]["matchLabels"].keys() == {"kubernetes.io/metadata.name"}
    ports = [port["port"] for port in rule["ports"]]
    assert ports == [
        getattr(settings[role], role).metrics_port for role in ("gateway", "generator", "trainer", "engine")
    ]


def test_roles_find_each_other_where_the_services_are(settings):
    engine = ROLES["engine"]["spec"]
    read = settings["engine"].engine
    assert read.node == POD
    assert read.address == f"{POD}.{engine['serviceName']}:{read.port}"
    assert of_kind("Service")[engine["serviceName"]]["clusterIP"] == "None"
    generator = settings["trainer"].generator
    assert generator.address == f"generator:{generator.port}"
    assert "generator" in of_kind("Service")


def test_probes_ask_where_a_role_says_how_it_is(settings):
    for role in ("gateway", "generator", "engine"):
        probes = [container_of(role)[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
        assert [probe["grpc"]["port"] for probe in probes] == [getattr(settings[role], role).port] * 3
    trainer = container_of("trainer")
    file = StateFolder(settings["trainer"].state_dir).trainer_ready
    assert trainer["readinessProbe"]["exec"]["command"] == ["test", "-f", str(file)]
    assert trainer["command"][-1].startswith(f"rm -f {file} && ")


def test_only_who_needs_a_port_reaches_it(settings):
    policies = of_kind("NetworkPolicy")
    assert reached(policies["closed"]["podSelector"]) == set(ROLES)
    assert "ingress" not in policies["closed"]
    opened = {}
    for name in policies.keys() - {"closed", "metrics"}:
        (role,), (rule,) = reached(policies[name]["podSelector"]), policies[name]["ingress"]
        callers = (
            frozenset().union(*(reached(caller["podSelector"]) for caller in rule["from"])) if "from" in rule else None
        )
        opened[role] = callers, {port["port"] for port in rule["ports"]}
    gateway, generator, engine = (settings[role] for role in ("gateway", "generator", "engine"))
    assert opened == {
        "gateway": (None, {gateway.gateway.port, gateway.gateway.http_port}),  # None: everybody
        "generator": ({"trainer"}, {generator.generator.port}),
        "engine": ({"gateway", "trainer"}, {engine.engine.port}),
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_may_do_no_more_than_its_role_needs(role):
    uid, gid = (int(re.search(rf"--{of}id (\d+)", DOCKERFILE)[1]) for of in "ug")  # type: ignore[index]
    pod, container = pod_of(role), container_of(role)
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": gid,
        "fsGroup": gid,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["terminationGracePeriodSeconds"] == 60
    assert container["resources"].get("limits") == ({"nvidia.com/gpu": 1} if role in {"trainer", "engine"} else None)
