"""The documents tell the truth: examples run, links lead somewhere, tables are fresh."""

import importlib.util
import re
from pathlib import Path

import pytest
import xfeed
from xfeed import _core

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benches").glob("*.md")]
)
FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    targets = [t for t in LINK.findall(document.read_text("utf-8")) if "://" not in t]
    dead = [target for target in targets if not (document.parent / target).exists()]
    assert not dead


def test_the_readme_examples_run_and_say_what_they_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example, store_example = FENCE.findall((ROOT / "README.md").read_text("utf-8"))
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 - our own document
    exec(compile(store_example, "README.md", "exec"), names)  # noqa: S102 - our own document
    store = names["store"]
    assert isinstance(store, xfeed.PostStore)
    answer = repr(store.newest([7, 8], now_ms=3_000).post_id)
    assert f"# {answer}" in store_example
    page = names["page"]
    assert isinstance(page, xfeed.FeedResult)
    assert str(page.where(7)) == "selected: place 1 of 1, found by in_network"
    assert '"selected: place 1 of 1, found by in_network"' in example


def test_the_examples_of_the_models_document_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in FENCE.findall((ROOT / "docs" / "models.md").read_text("utf-8")):
        exec(compile(example, "models.md", "exec"), names)  # noqa: S102 - our own document
    assert names["problem"] == "missing_file"
    assert isinstance(names["parameters"], int)
    assert callable(names["import_model"])


def test_the_models_document_names_every_preset_and_refusal() -> None:
    from xfeed.phoenix.profiles import PRESETS

    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    sources = (ROOT / "python" / "xfeed" / "phoenix" / "bundles").glob("*.py")
    codes = {code for path in sources for code in re.findall(r'code="(\w+)"', path.read_text())}
    assert len(codes) > 8
    assert not [name for name in {*codes, *PRESETS} if f"`{name}`" not in text]


def test_the_filter_of_the_contributing_guide_runs(tmp_path: Path) -> None:
    (example,) = FENCE.findall((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    exec(compile(example, "CONTRIBUTING.md", "exec"), {})  # noqa: S102 - our own document
    filters = [name for name, _ in _core.filters()]
    config = {"pipeline": {"filters": [*filters, "even_authors"]}}
    with xfeed.Feed.open(tmp_path, config=config) as feed:
        feed.ingest(
            {"type": "post", "at_ms": 1, "post_id": author, "author_id": author}
            for author in (10, 11)
        )
        page = feed.for_you("ann")
        assert [item.post_id for item in page] == ["10"]
        assert page.where(11).reason == "odd_author"


def test_the_generated_tables_are_fresh() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    written = (ROOT / "docs" / "reference.md").read_text("utf-8")
    assert written == generate.reference(), "run `make docs`"


def test_the_event_document_names_every_type_and_field() -> None:
    text = (ROOT / "docs" / "events.md").read_text("utf-8")
    missing = [
        name
        for event_type, fields in _core.event_schema()
        for name in [event_type, *(field for field, _, _ in fields)]
        if name and f"`{name}`" not in text
    ]
    assert not missing


def test_every_filter_runs_by_default() -> None:
    from xfeed.config import FeedConfig

    listed = [name for name, _ in _core.filters()]
    assert list(FeedConfig().pipeline.filters) == listed, "PipelineConfig.filters in config.py"
