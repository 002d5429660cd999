"""The commands, as a user calls them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xfeed.config import load_config
from xfeed.replay import world_settings
from xfeed.snapshots import SnapshotStore

from tests.kafka.broker import Broker
from tests.kafka.proxy import Proxy
from tests.kafka.wire import Wire, posts, state_hash

COMMAND = [sys.executable, "-c", "from xfeed.cli import main; main()"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


def saved_hash(directory: Path) -> str:
    """Hash of the state on the disk."""
    store = SnapshotStore(directory, writable=False)
    loaded = store.newest(world_settings(load_config(None, None, {})))
    assert loaded is not None
    return loaded.world.digest()


def until_ready(process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        status: dict[str, Any] = json.loads(line)
        if status["ready"]:
            return status
    message = "it ended before it was ready"
    raise AssertionError(message)


def test_produce_and_ingest_until_caught_up(mock: Wire, tmp_path: Path, topic: str) -> None:
    mock.touch(topic)
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join([*posts(0, 30), b"no event"]) + b"\n")
    sent = run("kafka", "produce", str(file), "--to", mock.url(topic), "--json")
    assert sent.returncode == 1, sent.stderr
    assert json.loads(sent.stdout)["delivered"] == 30
    assert json.loads(sent.stdout)["examples"][0][:2] == [31, "not_json"]
    data = str(tmp_path / "data")
    read = run("ingest", "--from", mock.url(topic), "--until-caught-up", "-d", data, "--json")
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout)["applied"] == 30
    assert saved_hash(tmp_path / "data") == state_hash(posts(0, 30))


def follow(address: str, directory: Path, options: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
    arguments = ["ingest", "--from", address, "-d", str(directory), "--status-every", "0.05"]
    return subprocess.Popen([*COMMAND, *arguments, *options], stdout=subprocess.PIPE)


def test_sigterm_makes_a_snapshot_and_ends_with_zero(
    mock: Wire, tmp_path: Path, topic: str
) -> None:
    mock.send(topic, posts(0, 20))
    process = follow(mock.url(topic), tmp_path)
    status = until_ready(process)
    assert status["lag"] == 0
    assert set(status["partitions"]) == {f"{topic}/{number}" for number in range(4)}
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert saved_hash(tmp_path) == state_hash(posts(0, 20))


def test_a_second_sigterm_ends_it_at_once(
    real: Wire, real_broker: Broker, tmp_path: Path, topic: str
) -> None:
    """Also while the first one waits for brokers that do not answer."""
    real.create(topic)
    real.send(topic, posts(0, 20))
    with Proxy(real_broker.proxy_port, real_broker.proxied_port):
        process = follow(f"kafka://127.0.0.1:{real_broker.proxy_port}/{topic}", tmp_path)
        until_ready(process)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    process.communicate()
    assert process.returncode == -signal.SIGTERM


def test_without_brokers_it_gives_up_when_it_should_end(tmp_path: Path) -> None:
    arguments = ["ingest", "--from", "kafka://127.0.0.1:9/posts", "--until-caught-up", "--json"]
    settings = ["--set", "kafka.connect_timeout_secs=1", "-d", str(tmp_path)]
    ended = run(*arguments, *settings)
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["error"]["code"] in {"broker_away", "catching_up"}


def test_files_and_topics_do_not_go_together(tmp_path: Path) -> None:
    for arguments in (["x.jsonl", "--from", "kafka://a:1/b"], [], ["x.jsonl", "--until-caught-up"]):
        ended = run("ingest", *arguments, "-d", str(tmp_path))
        assert ended.returncode == 2


def test_without_the_client_the_command_line_works_and_says_what_to_install() -> None:
    without = "import sys; sys.modules['confluent_kafka'] = None; "
    command = [sys.executable, "-c", f"{without}from xfeed.cli import main; main()"]
    assert subprocess.run([*command, "--help"], capture_output=True, check=False).returncode == 0
    arguments = ["kafka", "produce", "-", "--to", "kafka://a:1/b", "--json"]
    ended = subprocess.run([*command, *arguments], input=b"", capture_output=True, check=False)
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["error"]["code"] == "no_kafka"
    assert "xfeed[kafka]" in json.loads(ended.stdout)["error"]["hint"]
