"""Apache Kafka without Docker: one KRaft node from Maven Central's jars, run by the machine's own Java.

The jars are fetched once, by Maven and therefore from wherever this machine's Maven settings say, into
`$O2C_CACHE/kafka-<version>` (default `~/.cache/o2c`). On two cores the first start, formatting included, takes about
5 seconds, a later one 4, and one after SIGKILL up to 8.
"""

import asyncio
import base64
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from o2c.stack.brokers import Broker
from o2c.stack.errors import KafkaUnavailable, StackError
from o2c.stack.ports import LOOPBACK
from o2c.stack.processes import Launch

VERSION = "4.3.1"
SCALA = "2.13"
SLF4J = "1.7.36"  # Kafka's own version of the logging interface; its POM brings no binding
DEPENDENCY_PLUGIN = "3.8.1"
JAVA_MIN = 17
FETCH_SECONDS_MAX = 600

_POM = Template("""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>o2c</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_$scala</artifactId><version>$kafka</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>$slf4j</version></dependency>
  </dependencies>
</project>
""")

# After a kill the controller takes the node back only when its earlier session has ended: 3 s instead of 9.
_PROPERTIES = Template("""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@$host:$controller
listeners=PLAINTEXT://$host:$broker,CONTROLLER://$host:$controller
advertised.listeners=PLAINTEXT://$host:$broker
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$data
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
""")

_JVM = (
    "-Xms256m",
    "-Xmx512m",
    # A broker of a few minutes on a small machine: what better code and shorter pauses would save costs more to make.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",  # 2,000 lines of defaults at every start
)


@dataclass
class Kafka(Broker):
    """One node, broker and controller at once; its log is kept over restarts."""

    start_seconds_max: float = 120.0  # a JVM on a busy machine
    home: Path = field(kw_only=True)
    controller_port: int = field(kw_only=True)

    def __post_init__(self) -> None:
        self.data = self.home.resolve() / "kafka" / "data"
        self._java = ""
        self._jars: tuple[Path, ...] = ()

    async def prepare(self) -> None:
        """Find Java, get the jars, and format the log directory if it is new. KafkaUnavailable when it cannot be."""
        self._java = find_java()
        self._jars = await asyncio.to_thread(ensure_jars)
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(
            _PROPERTIES.substitute(
                host=LOOPBACK, broker=self.port, controller=self.controller_port, data=str(self.data)
            )
        )
        if not (self.data / "meta.properties").exists():
            await asyncio.to_thread(self._format)

    def launch(self) -> Launch:
        """The JVM itself, none of Kafka's shell scripts."""
        return Launch(
            argv=(*self._jvm(*_JVM, self._temporary), "kafka.Kafka", str(self._properties)),
            log=self.log,
            environment={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
            directory=self.data.parent,
            niceness=self.niceness,
        )

    def wipe(self) -> None:
        """Remove topics, records and group offsets. StackError while it runs."""
        if self.running:
            raise StackError(f"{self.name} runs; stop it before its data is removed")
        shutil.rmtree(self.data, ignore_errors=True)

    @property
    def _properties(self) -> Path:
        return self.data.parent / "server.properties"

    @property
    def _temporary(self) -> str:
        # Compression libraries unpack themselves here; the machine's own directory may forbid execution.
        directory = self.data.parent / "tmp"
        directory.mkdir(exist_ok=True)
        return f"-Djava.io.tmpdir={directory}"

    def _jvm(self, *options: str) -> tuple[str, ...]:
        return (self._java, *options, "-cp", os.pathsep.join(map(str, self._jars)))

    def _format(self) -> None:
        options = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        format_ = ("kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(self._properties))
        done = subprocess.run((*self._jvm(*options), *format_), capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"formatting Kafka's log directory failed:\n{done.stdout}{done.stderr}")


def find_java() -> str:
    """The path of a Java that can run Kafka. KafkaUnavailable when there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    java = java or shutil.which("java")
    if java is None:
        raise KafkaUnavailable(f"Apache Kafka needs Java {JAVA_MIN} or newer, and there is no `java` on the path")
    asked = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', asked.stderr + asked.stdout)
    if version is None or int(version[1]) < JAVA_MIN:
        said = (asked.stderr + asked.stdout).partition("\n")[0] or "nothing"
        raise KafkaUnavailable(f"Apache Kafka needs Java {JAVA_MIN} or newer; {java} says: {said}")
    return java


def cache_directory() -> Path:
    """Where the jars of this version are kept."""
    root = os.environ.get("O2C_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "o2c") / f"kafka-{VERSION}"


def ensure_jars() -> tuple[Path, ...]:
    """Kafka's class path, fetched at the first call on a machine. KafkaUnavailable when it cannot be had."""
    cache = cache_directory()
    if not cache.exists():
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            with _locked(cache.with_name(cache.name + ".lock")):
                if not cache.exists():
                    _fetch(cache)
        except OSError as error:
            raise KafkaUnavailable(f"Apache Kafka's jars cannot be kept in {cache}: {error}") from error
    jars = tuple(sorted(cache.glob("*.jar")))
    if not any(jar.name == f"kafka_{SCALA}-{VERSION}.jar" for jar in jars):
        raise KafkaUnavailable(f"{cache} does not hold Apache Kafka {VERSION}; remove it, and it is fetched again")
    return jars


def _fetch(cache: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailable(
            f"Apache Kafka {VERSION} is not in {cache}, and there is no `mvn` on the path to fetch it"
        )
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix=f"{cache.name}.") as directory:
        pom, jars = Path(directory) / "pom.xml", Path(directory) / "jars"
        pom.write_text(_POM.substitute(scala=SCALA, kafka=VERSION, slf4j=SLF4J))
        goal = f"org.apache.maven.plugins:maven-dependency-plugin:{DEPENDENCY_PLUGIN}:copy-dependencies"
        options = ("--batch-mode", "--quiet", "--strict-checksums", "--file", str(pom), goal)
        _run_maven((maven, *options, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"))
        jars.rename(cache)  # whole or not at all


def _run_maven(command: tuple[str, ...]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired as error:
        raise KafkaUnavailable(f"fetching Apache Kafka {VERSION} took longer than {FETCH_SECONDS_MAX} s") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[:5])
        raise KafkaUnavailable(f"Maven could not fetch Apache Kafka {VERSION}:\n{said}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Held by one process at a time, so that two test runs fetch once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cluster_id() -> str:
    """A random id as Kafka makes it: a UUID in 22 characters, no dash in front (it would read as an option)."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text
