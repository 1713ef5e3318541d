"""Apache Kafka on this machine: one KRaft node in one folder, from the jars that pom.xml names."""

# ruff: noqa: S603 (every command is spelt out here; none comes from a user)

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from infra.local.processes import HOST, free_port, listens, private_folder
from infra.local.server import Server
from schemas.errors import CradleError

POM: Final = Path(__file__).parent / "pom.xml"
CLUSTER_ID: Final = "Y3JhZGxlLWxvY2FsLTAwMQ"
"""22 characters of base64, the form StorageTool asks for; one node is its own cluster, so it need not be unique."""
START_SECONDS: Final = 90
JVM: Final = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Little memory and a quick start: this node serves trials and tests."""
LOGGING: Final = """\
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
"""


def bring_jars(libs: Path) -> Path:
    """Downloads Kafka's jars into `libs` unless they are there. Raises CradleError `service.missing`."""
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    marker = libs / "pom.sha256"
    if marker.exists() and marker.read_text() == wanted:
        return libs
    maven = shutil.which("mvn")
    if maven is None:
        raise CradleError("service.missing", name="Apache Kafka", what="Maven, for its jars", how="apt install maven")
    shutil.rmtree(libs, ignore_errors=True)
    result = subprocess.run(
        [maven, "-q", "-B", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={libs.resolve()}"],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if result.returncode != 0:
        raise CradleError("service.missing", name="Apache Kafka", what="its jars", how="read Maven's messages above")
    marker.write_text(wanted)
    return libs


class KafkaNode:
    """One node with its data in `folder`, for itself alone: start it, stop it, kill it, start it again.

    Its ports are chosen once and kept, so clients find it again; new ones are chosen only if others took them.
    Data reaches the disk as Kafka's defaults have it: acknowledged records survive `kill`, because the page cache does.
    """

    def __init__(self, folder: Path, libs: Path) -> None:
        self.folder = folder.resolve()
        self._libs = libs.resolve()
        self._ports_file = self.folder / "ports"

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`; known once it has been started for the first time."""
        return f"{HOST}:{self._ports()[0]}"

    @property
    def url(self) -> str:
        """`kafka://127.0.0.1:PORT`."""
        return f"kafka://{self.address}"

    def start(self) -> None:
        """Returns once it answers; harmless where it runs. Raises CradleError `service.start` or `service.missing`."""
        if self.running():
            return
        java = shutil.which("java")
        if java is None:
            raise CradleError(
                "service.missing", name="Apache Kafka", what="Java 17 or later", how="apt install default-jre-headless"
            )
        private_folder(self.folder)
        self._choose_ports()
        self._configure()
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(java)
        self._server(java).start()

    def stop(self) -> bool:
        return self._server().stop()

    def kill(self) -> bool:
        """SIGKILL, as a power cut would look to its clients. True if it ran."""
        return self._server().kill()

    def running(self) -> bool:
        return self._ports_file.exists() and self._server().running()

    @property
    def _settings(self) -> Path:
        return self.folder / "server.properties"

    def _ports(self) -> tuple[int, int]:
        broker, controller = json.loads(self._ports_file.read_text()) if self._ports_file.exists() else (0, 0)
        return broker, controller

    def _choose_ports(self) -> None:
        ports = self._ports()
        if 0 in ports or any(listens(port) for port in ports):
            self._ports_file.write_text(json.dumps([free_port(), free_port()]))

    def _configure(self) -> None:
        broker, controller = self._ports()
        settings = {
            "node.id": 1,
            "process.roles": "broker,controller",
            "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{broker}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "log.dirs": self.folder / "data",
            "broker.session.timeout.ms": 3000,  # after a kill, the node waits this long before it takes itself back
            "broker.heartbeat.interval.ms": 500,
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "log.retention.check.interval.ms": 10_000,
        }
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        (self.folder / "log4j2.properties").write_text(LOGGING)

    def _format(self, java: str) -> None:
        command = self._java(java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._settings))
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if result.returncode != 0:
            log = self._server(java).log
            log.write_bytes(result.stdout + result.stderr)
            raise CradleError("service.start", name="Apache Kafka", log=log)

    def _server(self, java: str = "java") -> Server:
        command = self._java(java, "kafka.Kafka", str(self._settings))
        return Server("Apache Kafka", self.folder, self._ports()[0], command, start_seconds=START_SECONDS)

    def _java(self, java: str, *words: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        quiet = "-XX:-UsePerfData"  # no file in /tmp
        return [java, *JVM, quiet, logging, f"-Djava.io.tmpdir={self.folder}", "-cp", f"{self._libs}/*", *words]
