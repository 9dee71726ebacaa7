"""The manifests, as Kustomize builds them, against assay, against schemas, and against each other. No cluster is asked."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.assemble import application
from assay.contract.versions import Active, Versions
from assay.monitor.promtool import check_rules, find_promtool
from assay.settings import Settings
from tests.deploy.files import AWAITED, DEPLOY, OVERLAYS, ROOT, environment, instructions, manifests, of_kind


def stateful_set(overlay: str) -> dict[str, Any]:
    (found,) = of_kind(overlay, "StatefulSet")
    return found


def pod(overlay: str) -> dict[str, Any]:
    spec: dict[str, Any] = stateful_set(overlay)["spec"]["template"]["spec"]
    return spec


def collector(overlay: str) -> dict[str, Any]:
    (found,) = pod(overlay)["containers"]
    return dict(found)


def settings_of(overlay: str) -> dict[str, str]:
    """The settings of assay that a collector gets, by their names in the environment."""
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(overlay, "ConfigMap")}
    found = environment()
    for source in collector(overlay).get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]
    found |= {each["name"]: each["value"] for each in collector(overlay)["env"] if "value" in each}
    return {name: value for name, value in found.items() if name.startswith("ASSAY_")}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_is_what_kubernetes_takes(overlay: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="pip install -r deploy/checks.txt")
    for document in manifests(overlay):
        if not document["apiVersion"].startswith("monitoring.coreos.com/"):
            kubernetes_validate.validate(document, "1.32", strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_setting_is_one(overlay: str) -> None:
    names = {name.removeprefix("ASSAY_").lower() for name in settings_of(overlay)} - {"workspace"}
    assert names - set(Settings.model_fields) <= AWAITED


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_it_writes_is_on_its_own_disk(overlay: str) -> None:
    mounts = {each["mountPath"]: each for each in collector(overlay)["volumeMounts"]}
    own = {path for path, each in mounts.items() if each["name"] == "data"}
    assert own == {"/data", "/workspace"}
    volumes = next(arguments for name, arguments in instructions() if name == "VOLUME")
    assert set(re.findall(r"/\w+", volumes)) == own
    settings = settings_of(overlay)
    log = settings.get("ASSAY_LOG", f"{settings['ASSAY_STORE']}.log")
    assert Path(log).is_relative_to("/data")
    assert mounts["/tmp"]["name"] == "tmp"
    policy = stateful_set(overlay)["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Retain", "whenScaled": "Retain"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_keys_are_linked_to_where_assay_looks_for_them(overlay: str) -> None:
    (init,) = pod(overlay)["initContainers"]
    (place,) = (each["value"] for each in init["env"] if each["name"] == "KEYS")
    store = settings_of(overlay)["ASSAY_STORE"]
    beside = f"{environment()['ASSAY_WORKSPACE']}/lake" if store.startswith("ducklake:") else store
    assert place == f"{beside}.keys"
    (secret,) = (each["secret"] for each in pod(overlay)["volumes"] if each["name"] == "keys")
    assert secret["defaultMode"] & 0o022 == 0  # what others may write is not believed


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_its_pods_are_restricted(overlay: str) -> None:
    """Kubernetes' own standard of that name, which the namespace enforces."""
    spec = pod(overlay)
    uid, gid = next(arguments for name, arguments in instructions() if name == "USER").split(":")
    security = spec["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (int(uid), int(gid), int(gid))
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    # A Service named assay would else be ASSAY_PORT=tcp://… in each container.
    assert spec["enableServiceLinks"] is False
    for container in [*spec["containers"], *spec["initContainers"]]:
        confined = container["securityContext"]
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert ":latest" not in container["image"]
        assert ":" in container["image"]
    (namespace,) = of_kind(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_what_the_service_answers(overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_WORKSPACE", str(tmp_path))
    paths = asyncio.run(routes(tmp_path))
    found = collector(overlay)
    asked = {kind: found[kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    # A held store, a lake that is away, a log that fails: none of them is mended by a restart.
    assert asked == {"startupProbe": "/", "livenessProbe": "/", "readinessProbe": "/readyz"}
    assert set(asked.values()) <= paths
    (port,) = found["ports"]
    assert (port["name"], str(port["containerPort"])) == ("http", environment()["ASSAY_PORT"])
    assert {found[kind]["httpGet"]["port"] for kind in asked} == {"http"}
    (monitor,) = of_kind(overlay, "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "http"
    assert endpoint["path"] in paths


async def routes(workspace: Path) -> set[str]:
    app = application(Settings(root=workspace, store=Path("assay.duckdb")))
    async with app.router.lifespan_context(app):
        return set(app.openapi()["paths"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_stop_has_the_time_that_it_needs(overlay: str) -> None:
    first = int(collector(overlay)["lifecycle"]["preStop"]["exec"]["command"][1])
    readiness = collector(overlay)["readinessProbe"]
    assert first >= readiness["periodSeconds"] * readiness["failureThreshold"]
    needed = first + 2 * int(settings_of(overlay)["ASSAY_SHUTDOWN_S"])
    assert pod(overlay)["terminationGracePeriodSeconds"] >= needed


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_that_selects_pods_selects_these(overlay: str) -> None:
    labels = stateful_set(overlay)["spec"]["template"]["metadata"]["labels"]
    selectors = [
        stateful_set(overlay)["spec"]["selector"]["matchLabels"],
        *(each["spec"]["selector"] for each in of_kind(overlay, "Service")),
        *(each["spec"]["selector"]["matchLabels"] for each in of_kind(overlay, "PodDisruptionBudget")),
        *(each["spec"]["selector"]["matchLabels"] for each in of_kind(overlay, "PodMonitor")),
        *(each["spec"]["podSelector"]["matchLabels"] for each in of_kind(overlay, "NetworkPolicy")),
    ]
    assert all(selector and selector.items() <= labels.items() for selector in selectors)
    assert stateful_set(overlay)["spec"]["serviceName"] in {
        each["metadata"]["name"] for each in of_kind(overlay, "Service") if each["spec"].get("clusterIP") == "None"
    }
    # Those who send are other pods, with a label of their own.
    policy = next(each for each in of_kind(overlay, "NetworkPolicy") if each["metadata"]["name"] == "assay")
    (rule,) = policy["spec"]["ingress"]
    senders = rule["from"][0]["podSelector"]["matchLabels"]
    assert not senders.items() & labels.items()


def test_a_node_can_be_emptied() -> None:
    """A budget that one pod alone can never spend would hold up the node for good."""
    assert of_kind("single", "PodDisruptionBudget") == []
    (budget,) = of_kind("lake", "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert stateful_set("lake")["spec"]["replicas"] > 1
    assert stateful_set("single")["spec"]["replicas"] == 1


# ---- rules and contracts


def test_the_rules_are_rules(tmp_path: Path) -> None:
    promtool = find_promtool([ROOT / ".tools/prometheus/usr/bin"])
    if promtool is None:
        pytest.skip("promtool is neither on PATH nor in .tools/: bin/test.sh installs it")
    (rule,) = of_kind("lake", "PrometheusRule")
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(rule["spec"]))
    check_rules(path, promtool)


def test_the_rules_are_those_of_the_checkouts_contract() -> None:
    """As long as that is the contract which they were made of: bin/profile.sh learns another."""
    text = (DEPLOY / "kubernetes" / "monitoring" / "prometheus-rule.yaml").read_text()
    own = (ROOT / "promconfig" / "data_quality_rules.yml").read_text()
    made_of = text.splitlines()[0]
    if own.splitlines()[0] != made_of:
        pytest.skip(f"{made_of.removeprefix('# ')} The checkout enforces another by now.")
    links = re.compile(r"(dashboard|runbook_url): \S+/ui")
    fleet, single = (yaml.safe_load(links.sub(r"\1: /ui", each)) for each in (text, own))
    assert fleet["spec"] == single


def test_a_contract_in_a_config_map_is_read_as_one(tmp_path: Path) -> None:
    """Kubernetes mounts a ConfigMap as links to links, and changes it by turning one of them."""
    made = Versions(tmp_path / "made")
    from assay.contract.document import Contract

    contract = made.add(Contract.parse({"type": "object", "properties": {"a": {"type": "number"}}}, dataset="d"))
    assert contract.version is not None
    made.activate("d", Active(contract.version))
    mounted = tmp_path / "contracts" / "d"
    data = mounted / "..2026_11_25"
    data.mkdir(parents=True)
    for path in (tmp_path / "made" / "d").iterdir():
        (data / path.name).write_bytes(path.read_bytes())
        (mounted / path.name).symlink_to(Path("..data") / path.name)
    (mounted / "..data").symlink_to(data.name)
    seen = Versions(tmp_path / "contracts")
    assert seen.datasets() == ["d"]
    assert seen.numbers("d") == [contract.version]
    ((active, _),) = seen.active_contracts()
    assert active.to_json() == contract.to_json()
    mounts = {each["mountPath"] for each in collector("lake")["volumeMounts"]}
    assert any(Path(each).parent == Path(settings_of("lake")["ASSAY_CONTRACTS"]) for each in mounts)
