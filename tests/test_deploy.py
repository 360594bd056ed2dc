"""What `deploy/` holds agrees with the code: names, users, sockets; systemd and Tor accept their files."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import referencing.jsonschema
import yaml

from data.settings.settings import Settings
from tests.command import TOCSIN, environment, must, tocsin_json
from tests.corpora import fetch

DEPLOY = Path(__file__).parents[1] / "deploy"
ALONE = ["--no-new-privs", "--bounding-set=-all", "--"]
ASK = """
my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$!";
print $s "PROTOCOLINFO\r\nQUIT\r\n"; print while <$s>
"""


def unit() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read(DEPLOY / "tocsin.service")
    return parser["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
@pytest.mark.slow
def test_systemd_accepts_the_unit_and_calls_it_little_exposed(tmp_path):
    file = tmp_path / "tocsin.service"
    file.write_text((DEPLOY / "tocsin.service").read_text().replace("/opt/tocsin/bin/tocsin", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=35", file]
    assert subprocess.run(security, capture_output=True).returncode == 0


def test_the_unit_waits_for_what_the_daemon_says():
    assert unit()["Type"] == "notify"
    assert unit()["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(unit()["WatchdogSec"]) >= 6 * 10, "the daemon feeds it every ten seconds"
    # what would take the walls of readers away, or keep compiled kernels from running
    for missing in ("RestrictNamespaces", "MemoryDenyWriteExecute", "ProcSubset"):
        assert missing not in unit()
    assert not {"@mount", "@privileged", "@sandbox"} & set(unit()["SystemCallFilter"].split())


@pytest.mark.skipif(shutil.which("tor") is None, reason="no Tor on this machine")
@pytest.mark.slow
def test_tor_accepts_its_file_and_listens_on_no_network(tmp_path):
    text = (DEPLOY / "tor" / "torrc").read_text()
    ports = [line for line in text.splitlines() if "Port " in line]
    assert ports
    assert all(" unix:" in line for line in ports)
    tmp_path.chmod(0o700)
    (tmp_path / "torrc").write_text(
        text.replace("/run/tocsin-tor", str(tmp_path)).replace("/var/lib/tor", f"{tmp_path}/d")
    )
    done = subprocess.run(["tor", "--verify-config", "-f", tmp_path / "torrc"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "Configuration was valid" in done.stdout


def test_containers_share_the_socket_of_tor_and_no_privilege():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert "no-new-privileges:true" in service["security_opt"]
        assert "ports" not in service
    shared = {volume.split(":")[1] for volume in services["tocsin"]["volumes"]} & {
        volume.split(":")[1] for volume in services["tor"]["volumes"]
    }
    assert shared == {"/run/tocsin-tor"}
    Settings.model_validate(
        {"tor": {"mode": "remote", "socks": "unix:/run/tocsin-tor/socks", "control": "unix:/run/tocsin-tor/control"}}
    )
    [group] = services["tocsin"]["group_add"]
    assert f"--gid {group} tocsin-tor" in (DEPLOY / "tor" / "Containerfile").read_text()


def ids_of_tor() -> tuple[int, int, int]:
    """User, group, and mode of the folder of sockets, as the file of the container says."""
    text = (DEPLOY / "tor" / "Containerfile").read_text()
    user, group = (
        re.search(r"usermod --uid (\d+) --gid tocsin-tor debian-tor", text),
        re.search(r"--gid (\d+) tocsin-tor", text),
    )
    mode = re.search(r"install -d -o debian-tor -g tocsin-tor -m (\d+) /run/tocsin-tor", text)
    assert user
    assert group
    assert mode
    return int(user[1]), int(group[1]), int(mode[1], 8)


def container_folders(place: Path, user: int, group: int, mode: int) -> tuple[Path, Path]:
    """Folders of sockets and data as the file of the container makes them, which a new volume takes over."""
    for name, rights in (("sockets", mode), ("data", 0o700)):
        (place / name).mkdir()
        os.chown(place / name, user, group)
        (place / name).chmod(rights)
    return place / "sockets", place / "data"


def pod_folders(place: Path, user: int, group: int, mode: int) -> tuple[Path, Path]:
    """Folders as the command in the pod's file makes them, in volumes that belong to root and to the group of the pod."""
    del mode
    spec = pod("Deployment")
    [made] = [each for each in spec["initContainers"] if each["name"] == "tor-folders"]
    command = made["command"][2]
    for name in ("sockets", "data"):
        (place / name).mkdir()
        os.chown(place / name, 0, spec["securityContext"]["fsGroup"])
        (place / name).chmod(0o2777)
        command = command.replace(f"/{name}/", f"{place}/{name}/")
    groups = [*spec["securityContext"]["supplementalGroups"], spec["securityContext"]["fsGroup"]]
    user_options = [f"--reuid={user}", f"--regid={group}", f"--groups={','.join(map(str, groups))}"]
    subprocess.run(["setpriv", *user_options, *ALONE, "sh", "-c", command], check=True)
    return place / "sockets" / "tor", place / "data" / "tor"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")
@pytest.mark.slow
@pytest.mark.parametrize("folders", [container_folders, pod_folders])
def test_tor_opens_its_sockets_as_the_user_of_its_container_and_the_daemon_reaches_them(folders):
    user, group, mode = ids_of_tor()
    daemon = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["tocsin"]
    with tempfile.TemporaryDirectory(prefix="tocsin-deploy-", dir="/tmp") as folder:
        place = Path(folder)
        place.chmod(0o755)
        sockets, data = folders(place, user, group, mode)
        text = (DEPLOY / "tor" / "torrc").read_text()
        text = text.replace("/run/tocsin-tor", str(sockets)).replace("/var/lib/tor", str(data))
        (place / "torrc").write_text(f"{text}DisableNetwork 1\n")
        command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *ALONE, "tor", "-f", "torrc"]
        said = []
        with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as tor:
            for line in tor.stdout or ():
                said.append(line)
                if "Opened Control listener" in line:
                    break
            else:
                pytest.fail("".join(said))
            groups = f"--groups={','.join(daemon['group_add'])}"
            asked = subprocess.run(
                ["setpriv", "--reuid=10001", "--regid=10001", groups, *ALONE, "perl", "-MIO::Socket::UNIX", "-e", ASK,
                 f"{sockets}/control"],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            tor.terminate()
    assert asked.stdout.startswith("250-PROTOCOLINFO"), asked.stderr


def manifests() -> dict[str, dict[str, Any]]:
    """The objects of `deploy/kubernetes`, by their kinds."""
    return {
        each["kind"]: each
        for file in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        for each in yaml.safe_load_all(file.read_text())
    }


def pod(kind: str) -> dict[str, Any]:
    return manifests()[kind]["spec"]["template"]["spec"]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.33.0", "1.37.0"])
def test_kubernetes_accepts_every_object_by_its_published_schemas(version):
    folder = f"kubernetes-json-schema/v{version}-local-strict/"
    kinds = {
        "Deployment": "deployment-apps-v1",
        "Job": "job-batch-v1",
        "PersistentVolumeClaim": "persistentvolumeclaim-v1",
    }
    published = {
        f"/api/{place.rpartition('/')[2]}": referencing.Resource.from_contents(
            json.loads(body), default_specification=referencing.jsonschema.DRAFT202012
        )
        for place, body in fetch.files(fetch.KUBERNETES, within=folder).items()
    }
    registry = referencing.Registry().with_resources(published.items())
    assert set(manifests()) == set(kinds)
    for kind, schema in kinds.items():
        check = jsonschema.Draft202012Validator({"$ref": f"/api/{schema}.json"}, registry=registry)
        check.validate(manifests()[kind])
        with pytest.raises(jsonschema.ValidationError):
            check.validate({**manifests()[kind], "spec": {**manifests()[kind]["spec"], "replica": 1}})


def test_pods_have_no_privilege_and_mount_what_they_need():
    for kind in ("Deployment", "Job"):
        spec = pod(kind)
        volumes = {each["name"] for each in spec["volumes"]}
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            walls = container["securityContext"]
            assert walls["capabilities"] == {"drop": ["ALL"]}
            assert (walls["allowPrivilegeEscalation"], walls["readOnlyRootFilesystem"]) == (False, True)
            assert "ports" not in container
            assert {each["name"] for each in container["volumeMounts"]} <= volumes
    tocsin_one, tor_one = pod("Deployment")["containers"]
    user, group, _ = ids_of_tor()
    assert (tor_one["securityContext"]["runAsUser"], tor_one["securityContext"]["runAsGroup"]) == (user, group)
    assert pod("Deployment")["securityContext"]["supplementalGroups"] == [group]
    shared = {each["mountPath"] for each in tocsin_one["volumeMounts"]} & {
        each["mountPath"] for each in tor_one["volumeMounts"]
    }
    assert shared == {"/run/tocsin-tor"}


@pytest.mark.slow
def test_the_parts_of_the_job_are_the_whole_scan_though_the_home_cannot_be_written(home, tmp_path):
    """Its command, as it stands in the file, with folders of this machine in place of its volumes."""
    results = tmp_path / "results"
    dump = tmp_path / "dump"
    dump.mkdir()
    for number in range(2):
        (dump / f"{number}.csv").write_text("nom;prenom;email\n" + f"Martin;Anne;anne{number}@example.org\n")
    # canaries, and so a database with what the watch-list should hold
    must(home.path, "canary", "generate", "--client", "p1", "--count", "5", "--out", dump / "planted.csv")
    assert home.db_path.exists()
    spec = manifests()["Job"]["spec"]
    [container] = pod("Job")["containers"]
    parts = next(each["value"] for each in container["env"] if each["name"] == "PARTS")
    assert int(parts) == spec["completions"] == spec["parallelism"]
    command = container["command"][2].replace("/results", str(results)).replace("/dump", str(dump))
    assert container["command"][:2] == ["sh", "-c"]
    more = {"TOCSIN_HOME": str(home.path), "PATH": f"{Path(TOCSIN).parent}:{os.environ['PATH']}"}
    for index in range(2):
        read_only = f"mount --bind {home.path} {home.path} && mount -o remount,bind,ro {home.path} && {command}"
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", read_only], capture_output=True, text=True,
            timeout=180, env=environment(**more, PARTS="2", JOB_COMPLETION_INDEX=str(index)),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    fold, whole = (tocsin_json(home.path, "scan", *each) for each in (("--fold", results), (dump,)))
    assert [len(each["hits"]) > 0 for each in whole["inputs"]] == [False, False, True]
    assert fold == whole
