"""A real Apache Kafka broker for tests, on loopback, in KRaft mode.

`python tests/kafka/broker.py` fetches it with Maven into `target/kafka` and checks every file
against `broker.sha256`. The fixtures do that by themselves.
"""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent
JARS = HERE.parent.parent / "target" / "kafka" / "3.9.1"
USER, PASSWORD = "xfeed", "a-password-of-tests"

CLUSTER_ID = "xfeed-tests-cluster-00"
"""22 characters, as Kafka's own identities have."""

LOGGING = """
log4j.rootLogger=WARN, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.File={file}
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=%d %p %m (%c)%n
"""

SETTINGS = r"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAIN://127.0.0.1:{plain},PROXIED://127.0.0.1:{proxied},SASL://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},PROXIED://127.0.0.1:{proxy},SASL://127.0.0.1:{sasl}
inter.broker.listener.name=PLAIN
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAIN:PLAINTEXT,PROXIED:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
  required user_{user}="{password}";
log.dirs={logs}
auto.create.topics.enable=false
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1000
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=100
log.retention.check.interval.ms=500
message.max.bytes=120000000
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
replica.fetch.max.bytes=120000000
socket.request.max.bytes=150000000
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
"""


def missing_tool() -> str:
    """What the broker needs and this machine lacks; empty when nothing."""
    for tool, package in (("java", "default-jre-headless"), ("mvn", "maven")):
        if shutil.which(tool) is None and not (tool == "mvn" and _is_whole(JARS)):
            return f"`{tool}` is not installed (Debian: {package})"
    return ""


def _wanted() -> dict[str, str]:
    lines = (HERE / "broker.sha256").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _is_whole(directory: Path) -> bool:
    wanted = _wanted()
    found = {path.name for path in directory.glob("*.jar")}
    return found == set(wanted) and all(
        hashlib.sha256((directory / name).read_bytes()).hexdigest() == digest
        for name, digest in wanted.items()
    )


def fetch() -> Path:
    """The directory with the broker's files, fetched when they are not there yet."""
    if _is_whole(JARS):
        return JARS
    fresh = JARS.with_name(f"fresh.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
    subprocess.run([*command, f"-DoutputDirectory={fresh}"], check=True, timeout=300)
    if not _is_whole(fresh):
        message = f"the files in `{fresh}` are not those of broker.sha256"
        raise RuntimeError(message)
    shutil.rmtree(JARS, ignore_errors=True)
    fresh.rename(JARS)
    return JARS


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Broker:
    """One broker with its own data; starts and stops as often as one likes.

    `address` is open to all, `sasl_address` asks for `USER` and `PASSWORD`. Clients that come in
    through `proxied_port` are sent to `proxy_port`, where a test may put something in between.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._jars = fetch()
        plain, proxied, proxy, sasl, controller = free_ports(5)
        self.address = f"127.0.0.1:{plain}"
        self.sasl_address = f"127.0.0.1:{sasl}"
        self.proxied_port, self.proxy_port = proxied, proxy
        self._settings = directory / "server.properties"
        self._logging = directory / "log4j.properties"
        self._logging.write_text(LOGGING.format(file=directory / "broker.log"))
        self._settings.write_text(
            SETTINGS.format(
                plain=plain,
                proxied=proxied,
                proxy=proxy,
                sasl=sasl,
                controller=controller,
                user=USER,
                password=PASSWORD,
                logs=directory / "logs",
            )
        )
        self._process: subprocess.Popen[bytes] | None = None
        arguments = ["format", "-t", CLUSTER_ID, "-c", str(self._settings)]
        subprocess.run(
            self._java("kafka.tools.StorageTool", *arguments), check=True, capture_output=True
        )

    def _java(self, main: str, *arguments: str) -> list[str]:
        return [
            "java",
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j.configuration=file:{self._logging}",
            "-cp",
            f"{self._jars}/*",
            main,
            *arguments,
        ]

    def start(self) -> None:
        """Returns when the broker answers."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        with (self._directory / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._settings)),
                stdout=output,
                stderr=output,
            )
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        end = time.monotonic() + 60
        while True:
            try:
                admin.list_topics(timeout=1)
            except KafkaException:
                if time.monotonic() > end or self._process.poll() is not None:
                    log = (self._directory / "output.log").read_text(errors="replace")
                    message = f"the broker does not start: {log[-2_000:]}"
                    raise RuntimeError(message) from None
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """Ends the broker at once; its data stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


if __name__ == "__main__":
    lack = missing_tool()
    if lack:
        sys.exit(lack)
    fetch()
