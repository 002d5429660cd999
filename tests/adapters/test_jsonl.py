import gzip
import io
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
from xfeed.adapters import RawLine, adapter
from xfeed.adapters.jsonl import MAX_LINE_LEN
from xfeed.errors import ConfigError, EventError


def read(*paths: Path) -> list[RawLine]:
    return list(adapter("jsonl").read(paths))


def write(path: Path, lines: Iterable[bytes]) -> Path:
    content = b"\n".join(lines)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "events.gz"])
def test_lines_come_with_their_file_and_number(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [b'{"a":1}', b'{"a":2}', b""])
    assert read(path) == [RawLine(b'{"a":1}', name, 1), RawLine(b'{"a":2}', name, 2)]


def test_blank_lines_count_but_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "events.jsonl", [b"", b"one", b"  \t", b"two\r", b""])
    assert [(raw.payload, raw.line) for raw in read(path)] == [(b"one", 2), (b"two", 4)]


def test_the_last_line_needs_no_line_end(tmp_path: Path) -> None:
    assert [raw.payload for raw in read(write(tmp_path / "a.jsonl", [b"one", b"two"]))] == [
        b"one",
        b"two",
    ]


def test_several_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    late, early = write(tmp_path / "b.jsonl", [b"1"]), write(tmp_path / "a.jsonl", [b"2"])
    assert [raw.source for raw in read(late, early)] == ["b.jsonl", "a.jsonl"]


def test_bytes_that_are_no_text_pass_through(tmp_path: Path) -> None:
    broken = b'{"text":"\xff\xfe\x00"}'
    assert read(write(tmp_path / "a.jsonl", [broken]))[0].payload == broken


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_of_the_greatest_length_is_whole(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * MAX_LINE_LEN + end + b"next")
    assert [len(raw.payload) for raw in read(path)] == [MAX_LINE_LEN, 4]


@pytest.mark.parametrize("excess", [1, 2, 3, 70_000, 1_000_000])
def test_a_longer_line_is_cut_to_be_refused_and_the_next_one_is_whole(
    tmp_path: Path, excess: int
) -> None:
    path = write(tmp_path / "a.jsonl", [b"x" * (MAX_LINE_LEN + excess), b"next"])
    first, second = read(path)
    assert first.payload == b"x" * (MAX_LINE_LEN + 1)
    assert second == RawLine(b"next", "a.jsonl", 2)


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"one\ntwo\n")))
    assert [(raw.payload, raw.source) for raw in read(Path("-"))] == [
        (b"one", "<stdin>"),
        (b"two", "<stdin>"),
    ]


def test_reading_is_lazy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [b"one"])
    lines = adapter("jsonl").read([path, tmp_path / "missing.jsonl"])
    assert next(lines).payload == b"one"
    with pytest.raises(ConfigError, match=r"missing\.jsonl") as caught:
        next(lines)
    assert caught.value.code == "no_such_file"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        read(tmp_path)


def test_a_truncated_gzip_file_says_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"one\n" * 10)[:-4])
    with pytest.raises(EventError, match="cannot be unpacked after line") as caught:
        read(path)
    assert caught.value.code == "damaged_file"


def test_a_file_that_only_claims_to_be_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(b"plain text\n")
    with pytest.raises(EventError, match="cannot be unpacked"):
        read(path)


def test_it_suggests_no_config() -> None:
    assert adapter("jsonl").suggested_config() == {}
