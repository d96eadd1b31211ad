"""Dashboard, alerts and scrape configurations of deploy/dashboards name what the roles really say."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import promql_parser as promql
import pytest
import yaml
from google.longrunning import operations_pb2
from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

import generator.metrics
import lift.serving.calls
import server.engine.metrics
import server.gateway.metrics
import server.http_calls
import trainer.metrics
from lift.errors import LiftError
from lift.settings import Settings
from lift.v1 import adapters_pb2
from server.gateway.metrics import CatalogueCollector

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "dashboards"
DASHBOARD = json.loads((FOLDER / "lift.json").read_text())
ALERTS = [rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SERVICES = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())["services"]

MODULES = {
    "gateway": (server.gateway.metrics, lift.serving.calls, server.http_calls),
    "generator": (generator.metrics, lift.serving.calls),
    "trainer": (trainer.metrics,),
    "engine": (server.engine.metrics, lift.serving.calls, server.http_calls),
}
OF_EVERY_PROCESS = ("process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total")
OF_PROMETHEUS = {"job", "instance"}
BOUNDED = {"code", "direction", "kind", "method", "outcome", "reason", "route", "stage", "state", "status", "tier"}
"""Labels whose values the code itself names: none is a tenant, an adapter, a job or what a caller sent."""

TARGETS = [
    pytest.param(target, id=f"{panel['title']} {target['refId']}") for panel in PANELS for target in panel["targets"]
]
EXPRESSIONS = [
    *(pytest.param(target.values[0]["expr"], id=target.id) for target in TARGETS),
    *(pytest.param(alert["expr"], id=alert["alert"]) for alert in ALERTS),
]


def counted_in(module: object) -> list[MetricWrapperBase]:
    return [metric for metric in vars(module).values() if isinstance(metric, MetricWrapperBase)]


def samples_of(metric: MetricWrapperBase) -> Iterator[tuple[str, set[str]]]:
    """The names and labels with which Prometheus keeps a metric."""
    name, labels = metric._name, set(metric._labelnames)
    if isinstance(metric, Histogram):
        yield f"{name}_bucket", {*labels, "le"}
        yield from ((f"{name}_{part}", labels) for part in ("sum", "count"))
    else:
        yield (f"{name}_total" if isinstance(metric, Counter) else name), labels


@pytest.fixture(name="said")
def said_fixture(catalogue) -> dict[str, dict[str, set[str]]]:
    """Role → name → labels, of all that a role says."""
    found: dict[str, dict[str, set[str]]] = {}
    for role, modules in MODULES.items():
        found[role] = {name: set() for name in ("up", *OF_EVERY_PROCESS)}
        for module in modules:
            for metric in counted_in(module):
                found[role] |= samples_of(metric)
    collector = CatalogueCollector(catalogue, node_timeout_seconds=10)
    for family in collector.collect():
        found["gateway"][family.name] = {label for sample in family.samples for label in sample.labels}
    collector.close()
    return found


def parsed(expression: str) -> Any:
    return promql.parse(expression.replace("$__rate_interval", "5m"))


def nodes(expression: Any) -> Iterator[Any]:
    """An expression and all in it."""
    yield expression
    inner = [getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector")]
    for part in (*inner, *(getattr(expression, "args", None) or ())):
        if isinstance(part, promql.Expr):
            yield from nodes(part)


def selectors(expression: Any) -> list[Any]:
    return [node for node in nodes(expression) if isinstance(node, promql.VectorSelector)]


def roles_of(selector: Any) -> list[str]:
    """The roles whose metrics are selected: all where no job is named."""
    named = [matcher.value for matcher in selector.matchers.matchers if matcher.name == "job"]
    return named[0].split("|") if named else list(MODULES)


def labels_of(selector: Any, said: Mapping[str, Mapping[str, set[str]]]) -> set[str]:
    return OF_PROMETHEUS.union(*(said[role].get(selector.name, set()) for role in roles_of(selector)))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_that_is_asked_for_is_one_that_a_role_says(expression, said):
    whole = parsed(expression)
    asked = selectors(whole)
    assert asked
    for selector in asked:
        saying = [role for role in roles_of(selector) if selector.name in said[role]]
        assert saying, selector.name
        if {matcher.name for matcher in selector.matchers.matchers} & {"job"}:
            assert saying == roles_of(selector)
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels_of(selector, said), selector.name
    for node in nodes(whole):
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            available = set[str]().union(*(labels_of(selector, said) for selector in selectors(node.expr)))
            assert set(node.modifier.labels) <= available


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_status_method_and_reason_that_is_named_is_one_that_there_is(expression):
    services = (
        *adapters_pb2.DESCRIPTOR.services_by_name.values(),
        *operations_pb2.DESCRIPTOR.services_by_name.values(),
    )
    there_is = {
        "code": {code.name for code in grpc.StatusCode}.__contains__,
        "method": {method for service in services for method in service.methods_by_name}.__contains__,
        "reason": lambda reason: LiftError.of_reason(reason) is not None,
    }
    for selector in selectors(parsed(expression)):
        for matcher in selector.matchers.matchers:
            if matcher.name in there_is:
                assert all(map(there_is[matcher.name], matcher.value.split("|"))), matcher.value


@pytest.mark.parametrize("target", TARGETS)
def test_a_line_s_name_has_labels_that_are_left(target, said):
    whole = parsed(target["expr"])
    kept = [
        set(node.modifier.labels) for node in nodes(whole) if isinstance(node, promql.AggregateExpr) if node.modifier
    ]
    left = kept[0] if kept else set[str]().union(*(labels_of(selector, said) for selector in selectors(whole)))
    assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= left


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_only_grows_is_asked_for_as_a_rate_and_nothing_else_is(expression):
    whole = parsed(expression)
    rates = [node for node in nodes(whole) if isinstance(node, promql.Call) and node.func.name in {"rate", "increase"}]
    of_rates = {selector.name for rate in rates for selector in selectors(rate)}
    growing = re.compile(r"_(total|bucket|sum|count)$")
    assert of_rates == {selector.name for selector in selectors(whole) if growing.search(selector.name)}


def test_everything_that_a_role_says_is_on_the_dashboard(said):
    asked = {selector.name for target in TARGETS for selector in selectors(parsed(target.values[0]["expr"]))}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    for role in MODULES:
        ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in said[role] if name.startswith("lift_")}
        assert ours <= families


def test_the_documents_list_all_that_roles_say_with_its_labels(said):
    rows = re.findall(r"^\| (`lift_.*?) \| ([\w, ]+) \|", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    listed = {
        role: {
            name: set(re.findall(r"\w+", labels)) for name, labels in re.findall(r"`(\w+)`(?: {([\w, ]+)})?", metrics)
        }
        for role in MODULES
        for metrics in [" ".join(names for names, roles in rows if role in roles.split(", "))]
    }
    for role in MODULES:
        ours = {re.sub(r"_(bucket|sum|count)$", "", name): labels for name, labels in said[role].items()}
        assert listed[role] == {name: labels - {"le"} for name, labels in ours.items() if name.startswith("lift_")}


def test_no_label_has_values_without_end(said):
    labels = {label for metrics in said.values() for names in metrics.values() for label in names}
    assert labels == BOUNDED | {"le"}


def test_names_say_whose_they_are_and_in_which_unit():
    for modules in MODULES.values():
        for metric in (metric for module in modules for metric in counted_in(module)):
            assert metric._name.startswith("lift_")
            assert metric._documentation.endswith(".")
            assert not isinstance(metric, Histogram) or metric._name.endswith("_seconds")


def test_panels_have_titles_units_and_places_of_their_own():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    titles = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert titles == ["Overview", "Gateway", "Generator", "Trainer", "Engine", "Processes"]
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"


def test_alerts_say_what_is_wrong_and_how_bad():
    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"]["summary"]


def test_prometheus_of_the_compose_file_asks_every_role_where_it_serves():
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    found = {
        scrape["job_name"]: (service["names"], service["port"])
        for scrape in config["scrape_configs"]
        for service in scrape["dns_sd_configs"]
    }
    settings = Settings()
    assert found == {role: ([role], getattr(settings, role).metrics_port) for role in MODULES}
    for role in MODULES:
        assert SERVICES[role]["environment"][f"LIFT_{role.upper()}__METRICS_HOST"] == "0.0.0.0"  # noqa: S104
        assert not [port for port in SERVICES[role].get("ports", ()) if str(found[role][1]) in port]
    assert config["rule_files"] == ["alerts.yaml"]


def test_prometheus_of_a_cluster_names_pods_after_their_roles():
    (scrape,) = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text())["scrape_configs"]
    rules = {rule.get("target_label", rule.get("action")): rule["source_labels"] for rule in scrape["relabel_configs"]}
    assert rules["job"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_component"]
    assert rules["keep"] == ["__meta_kubernetes_pod_container_port_name"]


def test_what_compose_gives_to_prometheus_and_grafana_is_there_and_all_of_it_is_given():
    mounted = set()
    for name in ("prometheus", "grafana"):
        assert SERVICES[name]["profiles"] == ["metrics"]
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])
        mounts = [mount.split(":") for mount in SERVICES[name]["volumes"] if mount.startswith("..")]
        mounted |= {Path(source).name for source, *_ in mounts}
    assert mounted == {file.name for file in FOLDER.iterdir()} - {"kubernetes.yaml"}
    provider = yaml.safe_load((FOLDER / "provider.yaml").read_text())["providers"][0]
    assert any(mount.split(":")[1].startswith(provider["options"]["path"]) for mount in SERVICES["grafana"]["volumes"])
