"""`xfeed model`: a published checkpoint becomes a bundle, is looked at, checked, run and served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner
from xfeed.cli.app import app
from xfeed.feed import Feed
from xfeed.phoenix.bundles.read import read_bundle

from tests.phoenix.checkpoints import change_arrays, make_checkpoint
from tests.shared_data import shared_path

if TYPE_CHECKING:
    from pathlib import Path

START_MS = 1_700_000_000_000


def call(*arguments: object) -> tuple[int, str]:
    """Runs a command in this process: torch takes seconds to load."""
    done = CliRunner().invoke(app, ["model", *map(str, arguments)], env={"COLUMNS": "200"})
    return done.exit_code, done.stdout


def called(*arguments: object) -> Any:
    code, text = call(*arguments, "--json")
    assert code == 0, text
    return json.loads(text)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "source")


@pytest.fixture
def bundle(source: Path, tmp_path: Path) -> Path:
    called("import", source, "--out", tmp_path / "bundle")
    return tmp_path / "bundle"


def test_import_writes_a_bundle_and_says_what_came_in(source: Path, tmp_path: Path) -> None:
    report = called("import", source, "--out", tmp_path / "b", "--table-dtype", "int8")
    assert report["bundle_id"] == read_bundle(tmp_path / "b").id
    assert report["table_rows"] == {"ranker": 150, "retrieval": 150}
    assert (report["corpus_posts"], report["table_dtype"]) == (40, "int8")
    assert read_bundle(tmp_path / "b").ranker_tables["user"].dtype == "int8"


def test_import_prints_names_that_nothing_reads(source: Path, tmp_path: Path) -> None:
    more = {"a_name": np.zeros(1, np.float32)}
    change_arrays(source / "ranker" / "model_params.npz", lambda arrays: arrays.update(more))
    code, text = call("import", source, "--out", tmp_path / "b")
    assert (code, "not used: ranker/model_params.npz: a_name" in text) == (0, True)


def test_a_damaged_checkpoint_is_named_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    nan = {"item_embeddings": np.full((70, 16), np.nan, np.float32)}
    path = source / "retrieval" / "embedding_tables.npz"
    change_arrays(path, lambda arrays: arrays.update(nan))
    code, text = call("import", source, "--out", tmp_path / "b", "--json")
    assert (code, json.loads(text)["error"]["code"]) == (1, "not_finite")
    assert "table.item" in text
    code, text = call("import", source, "--data", tmp_path / "d", "--json")
    assert code == 1
    assert list((tmp_path / "d" / "bundles").iterdir()) == []
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "options",
    [[], ["--out", "a", "--data", "b"], ["--out", "a", "--activate"]],
)
def test_import_needs_one_place(source: Path, options: list[str]) -> None:
    assert call("import", source, *options)[0] == 2


def test_an_unknown_dtype_is_refused(source: Path, tmp_path: Path) -> None:
    code, text = call("import", source, "--out", tmp_path / "b", "--table-dtype", "int4", "--json")
    assert (code, json.loads(text)["error"]["code"]) == (1, "bad_value")


def test_show_lists_files_tensors_and_actions(bundle: Path) -> None:
    shown = called("show", bundle)
    assert shown["bundle_id"] == read_bundle(bundle).id
    assert shown["files"]["ranker_tables.safetensors"]["tensors"]["table.item"]["shape"] == [70, 16]
    assert shown["models"]["ranker"]["n_layers"] == 1
    code, text = call("show", bundle)
    assert (code, "table.item" in text, "favorite" in text) == (0, True, True)


def test_verify_tells_good_bundles_from_damaged_ones(bundle: Path, tmp_path: Path) -> None:
    assert called("verify", bundle)["bundles"][0]["problem"] == ""
    content = bytearray((bundle / "corpus.safetensors").read_bytes())
    content[-1] ^= 1
    (bundle / "corpus.safetensors").write_bytes(content)
    code, text = call("verify", bundle, tmp_path / "nothing", "--json")
    damaged, missing = json.loads(text)["bundles"]
    assert (code, damaged["code"], missing["code"]) == (1, "wrong_hash", "missing_file")
    assert "corpus.safetensors" in damaged["problem"]


def test_run_gives_the_same_list_from_a_bundle_and_from_the_checkpoint(
    source: Path, bundle: Path
) -> None:
    options = ("--top-k", 9, "--show", 4)
    first = called("run", bundle, *options)
    assert first == called("run", source, *options)
    assert (first["retrieved"], first["corpus_posts"], len(first["items"])) == (9, 40, 4)
    scores = [item["score"] for item in first["items"]]
    assert scores == sorted(scores, reverse=True)
    assert all(isinstance(item["post_id"], str) for item in first["items"])
    code, text = call("run", bundle, *options)
    assert (code, first["items"][0]["post_id"] in text) == (0, True)


EVIL = "a\x1b[2J\x9b\u202eb\nc"


def test_foreign_names_cannot_steer_the_terminal(source: Path, tmp_path: Path) -> None:
    topics = {"topics": np.array([EVIL] * 40)}
    change_arrays(source / "sports_corpus.npz", lambda arrays: arrays.update(topics))
    more = {"\x1b[31m": np.zeros(1, np.float32)}
    change_arrays(source / "ranker" / "model_params.npz", lambda arrays: arrays.update(more))
    texts = [call("import", source, "--out", tmp_path / "b")[1]]
    texts.append(call("run", tmp_path / "b", "--top-k", 5)[1])
    assert r"\x1b[31m" in texts[0]
    assert r"a\x1b[2J\x9b\u202eb\nc" in texts[1]
    names = {"topics": np.array([{}] * 40), "\x1b[32m": np.array([{}])}
    change_arrays(source / "sports_corpus.npz", lambda arrays: arrays.update(names))
    done = CliRunner().invoke(app, ["model", "import", str(source), "--out", str(tmp_path / "c")])
    assert (done.exit_code, "holds objects" in done.stderr) == (1, True)
    for text in (*texts, done.stderr):
        assert not {"\x1b", "\x9b", "\u202e"} & set(text)


@pytest.mark.parametrize(
    "topics", [np.array([0x110000] * 40, np.uint32).view("<U1"), np.array(["\ud800"] * 40)]
)
def test_topics_that_are_no_text_give_a_message(source: Path, tmp_path: Path, topics: Any) -> None:
    change_arrays(source / "sports_corpus.npz", lambda arrays: arrays.update(topics=topics))
    code, text = call("import", source, "--out", tmp_path / "b", "--json")
    assert (code, json.loads(text)["error"]["code"]) == (1, "bad_value")


def test_run_takes_another_history_and_the_other_flow(bundle: Path, tmp_path: Path) -> None:
    other = {"user_id": 5, "history": [{"post_id": 9, "author_id": 9, "actions": {"1": 1}}]}
    (tmp_path / "other.json").write_text(json.dumps(other))
    shown = called("run", bundle, "--sequence", tmp_path / "other.json", "--top-k", 5)
    assert (shown["viewer_id"], len(shown["items"])) == ("5", 5)
    one_pass = called("run", bundle, "--flow", "one-pass")
    assert one_pass["items"] != called("run", bundle)["items"]
    assert call("run", bundle, "--flow", "else")[0] == 2


def test_run_says_what_a_bundle_lacks(source: Path, tmp_path: Path) -> None:
    (source / "example_sequence.json").unlink()
    called("import", source, "--out", tmp_path / "a")
    (source / "sports_corpus.npz").unlink()
    called("import", source, "--out", tmp_path / "b")
    for name, expected in (("a", "no_sequence"), ("b", "no_corpus")):
        code, text = call("run", tmp_path / name, "--json")
        assert (code, json.loads(text)["error"]["code"]) == (1, expected)


def test_run_reproduces_the_published_list() -> None:
    golden = shared_path("conformance", "phoenix", "pipeline_tiny")
    shown = called("run", golden, "--top-k", 20, "--show", 20)
    with np.load(golden / "expected.npz") as expected:
        ids, order = expected["f32/final_post_ids"], expected["f32/final_order"]
        weighted = expected["f32/weighted"][order]
    assert [item["post_id"] for item in shown["items"]] == [str(post) for post in ids]
    np.testing.assert_allclose([item["score"] for item in shown["items"]], weighted, atol=5e-5)


def test_an_imported_model_serves_pages(tmp_path: Path) -> None:
    source = shared_path("conformance", "phoenix", "pipeline_tiny")
    history = json.loads((source / "example_sequence.json").read_text())
    viewer = history["user_id"]
    with np.load(source / "sports_corpus.npz") as archive:
        corpus = list(zip(archive["post_ids"], archive["author_ids"], strict=True))
    seen = [(one["post_id"], one["author_id"]) for one in history["history"]]
    posts = [
        {"type": "post", "at_ms": START_MS + i, "post_id": int(post), "author_id": int(author)}
        for i, (post, author) in enumerate([*seen, *corpus[:30]])
    ]
    shown = [
        {"type": "impression", "at_ms": START_MS + 9_000 + i, "viewer_id": viewer, "post_id": post}
        for i, (post, _) in enumerate(seen)
    ]
    liked = [event | {"type": "action", "action": "favorite"} for event in shown]
    data = tmp_path / "data"
    with Feed.open(data) as feed:
        report = feed.ingest([*posts, *shown, *liked])
        assert not report.rejected
    report = called("import", source, "--data", data, "--activate")
    assert report["active"]
    with Feed.open(data) as feed:
        page = feed.for_you(viewer, limit=10)
        assert (page.mode, len(page), feed.model_problem) == ("model", 10, "")
        assert page.receipt.bundle_id == report["bundle_id"]
        names = {part.name for part in page[0].why.parts}
        assert {"favorite", "reply", "dwell_time"} <= names
        assert not names & {"share", "follow_author"}
        # an import that is not activated changes nothing
        feed.import_model(source, table_dtype="int8", activate=False)
        assert feed.for_you(viewer, limit=10).receipt.bundle_id == report["bundle_id"]
    assert len([path for path in (data / "bundles").iterdir() if path.is_dir()]) == 2
