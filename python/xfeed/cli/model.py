"""`xfeed model`: bundles and published checkpoints, brought in, looked at, checked and run."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xfeed.cli.common import JsonOption, err, out, print_json, printable
from xfeed.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xfeed.phoenix.bundles.corpus import Corpus
    from xfeed.phoenix.bundles.read import Bundle
    from xfeed.phoenix.bundles.table_streams import TableDtype
    from xfeed.phoenix.published.checkpoint import ImportReport
    from xfeed.phoenix.published.pipeline import Flow, Ranked

TableDtypeOption = Annotated[
    str,
    typer.Option(
        "--table-dtype", help="How embedding rows are stored: float32, float16, bfloat16, int8."
    ),
]


def import_model(
    source: Annotated[
        Path, typer.Argument(help="Directory of a published checkpoint.", metavar="DIR")
    ],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Directory of the bundle; must be new.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="Data directory to put the bundle into."),
    ] = None,
    activate: Annotated[
        bool, typer.Option("--activate", help="Let the bundle serve the data directory at once.")
    ] = False,
    table_dtype: TableDtypeOption = "float32",
    as_json: JsonOption = False,
) -> None:
    """Turns a published checkpoint into a bundle; nothing in it is executed."""
    if (out_dir is None) == (data is None) or (activate and data is None):
        raise typer.BadParameter("give either --out, or --data (with --activate if you like)")
    report = (
        _import(source, out_dir, table_dtype)
        if out_dir is not None
        else _import_into_data(source, _given(data), table_dtype, activate=activate)
    )
    place = out_dir if out_dir is not None else _given(data) / "bundles" / report.bundle_id
    if as_json:
        print_json({"path": str(place), "active": activate, **report.to_json()})
        return
    numbers = ", ".join(
        f"{kind} {report.n_parameters[kind]:,} parameters and {report.table_rows[kind]:,} rows"
        for kind in report.n_parameters
    )
    _say(f"{numbers}; rows as {report.table_dtype}")
    _say(f"corpus of {report.corpus_posts:,} posts; {report.seconds:.1f} s")
    for name in report.ignored:
        _say(f"not used: {name}")
    _say(f"bundle {report.bundle_id[:12]}{' is active' if activate else ''}: {place}")


def show(
    bundle: Annotated[Path, typer.Argument(help="Directory of a bundle.", metavar="BUNDLE")],
    as_json: JsonOption = False,
) -> None:
    """Prints what a bundle holds: configurations, tensors, sizes, hashes and metrics."""
    from xfeed.phoenix.bundles.layout import Manifest, read_manifest

    text = read_manifest(bundle)
    manifest = Manifest.parse(text)
    if as_json:
        print_json(
            {
                "bundle_id": manifest.id,
                "origin": manifest.origin,
                "actions": list(manifest.actions),
                "models": {kind: one.to_json() for kind, one in manifest.configs.items()},
                "files": manifest.files,
                "log_offset": manifest.log_offset,
                "metrics": manifest.metrics,
                "notes": manifest.notes,
            }
        )
        return
    _say(f"bundle {manifest.id}")
    _say(f"origin {manifest.origin}, log offset {manifest.log_offset}")
    for kind, config in manifest.configs.items():
        _say(
            f"{kind}: D {config.emb_size}, {config.n_layers} layers, {config.n_query_heads} heads "
            f"of {config.key_size}, history {config.history_len}, rows of {config.table_width}"
        )
    _say(f"actions: {', '.join(manifest.actions)}")
    for file, entry in sorted(manifest.files.items()):
        _say(f"{file}: {entry['bytes']:,} bytes, SHA-256 {entry['sha256']}")
        for name, tensor in entry.get("tensors", {}).items():
            shape = " × ".join(map(str, tensor["shape"]))
            _say(f"    {name:<52} {tensor['dtype']:<5} {shape}")
    for name, value in manifest.metrics.items():
        if not isinstance(value, dict):
            _say(f"{name}: {value}")


def verify(
    bundles: Annotated[
        list[Path], typer.Argument(help="Directories of bundles.", metavar="BUNDLE…")
    ],
    as_json: JsonOption = False,
) -> None:
    """Reads every byte of bundles and checks it; exit code 1 when one is damaged."""
    from xfeed.phoenix.bundles.read import read_bundle

    results: list[dict[str, Any]] = []
    for path in bundles:
        result: dict[str, Any] = {"path": str(path), "bundle_id": "", "code": "", "problem": ""}
        try:
            result["bundle_id"] = read_bundle(path).id
            text = f"ok       {path}: {result['bundle_id']}"
        except BundleError as error:
            result |= {"code": error.code, "problem": str(error.args[0])}
            text = f"problem  {path} [{error.code}]: {error.args[0]}"
        results.append(result)
        if not as_json:
            _say(text)
    if as_json:
        print_json({"bundles": results})
    if any(result["problem"] for result in results):
        raise typer.Exit(1)


def run(
    path: Annotated[
        Path,
        typer.Argument(help="An imported bundle, or a published checkpoint.", metavar="BUNDLE|DIR"),
    ],
    sequence_file: Annotated[
        Path | None,
        typer.Option("--sequence", help="History as JSON; else the one that came along."),
    ] = None,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Posts to retrieve.")] = 200,
    n_shown: Annotated[int, typer.Option("--show", min=0, help="Posts to print.")] = 30,
    flow: Annotated[
        str,
        typer.Option(
            "--flow",
            help="published: chunks, positions by slot, as the release; "
            "one-pass: every candidate alone, in one pass.",
        ),
    ] = "published",
    newest: Annotated[
        bool,
        typer.Option("--newest", help="Read the newest positions of the history, not the first."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Runs the released pipeline: retrieve from the corpus, rank, sort by a weighted sum."""
    from xfeed.phoenix.bundles.corpus import read_corpus
    from xfeed.phoenix.bundles.layout import CORPUS, SEQUENCE
    from xfeed.phoenix.published.pipeline import PublishedPipeline
    from xfeed.phoenix.published.sequence import read_sequence

    chosen = _flow(flow)
    with _opened(path) as bundle:
        if CORPUS not in bundle.files:
            raise BundleError(
                "the bundle holds no corpus to search",
                code="no_corpus",
                hint="import a checkpoint that has `sports_corpus.npz`; a bundle of `xfeed fit` "
                "serves with `xfeed feed`",
            )
        if sequence_file is None and SEQUENCE not in bundle.files:
            raise BundleError(
                "the bundle holds no example history", code="no_sequence", hint="pass --sequence"
            )
        sequence = read_sequence(sequence_file or bundle.directory / SEQUENCE)
        corpus = read_corpus(bundle.directory / CORPUS)
        ranked = PublishedPipeline(bundle).run(
            corpus, sequence, top_k=top_k, newest=newest, flow=chosen
        )
        if as_json:
            print_json(_as_json(bundle, corpus, ranked, sequence.viewer_id, n_shown))
        else:
            _print_ranked(bundle, corpus, ranked, n_shown)


@contextmanager
def _opened(path: Path) -> Iterator[Bundle]:
    """A bundle, or a checkpoint that becomes one in a temporary directory."""
    from xfeed.phoenix.bundles.read import read_bundle
    from xfeed.phoenix.published.checkpoint import is_checkpoint

    if not is_checkpoint(path):
        yield read_bundle(path, verify="once")
        return
    with tempfile.TemporaryDirectory(prefix="xfeed-model-") as folder:
        err().print(
            "reading a checkpoint; `xfeed model import` keeps it as a bundle that starts at once"
        )
        _import(path, Path(folder, "bundle"), "float32")
        yield read_bundle(Path(folder, "bundle"), verify="structure")


def _import(source: Path, out_dir: Path, table_dtype: str) -> ImportReport:
    """Imports to a directory of its own."""
    from xfeed.phoenix.published.checkpoint import import_checkpoint

    return import_checkpoint(source, out_dir, table_dtype=_dtype(table_dtype))


def _dtype(table_dtype: str) -> TableDtype:
    """Checks the name of a dtype."""
    from xfeed.phoenix.bundles.table_streams import TABLE_DTYPES

    for known in TABLE_DTYPES:
        if known == table_dtype:
            return known
    raise ConfigError(
        f"`--table-dtype` is `{table_dtype}`, allowed are `{list(TABLE_DTYPES)}`", code="bad_value"
    )


def _import_into_data(
    source: Path, data: Path, table_dtype: str, *, activate: bool
) -> ImportReport:
    """Imports into the bundles of a data directory."""
    from xfeed.feed import Feed

    with Feed.open(data) as feed:
        return feed.import_model(source, table_dtype=_dtype(table_dtype), activate=activate)


def _as_json(
    bundle: Bundle, corpus: Corpus, ranked: Ranked, viewer_id: int, n_shown: int
) -> dict[str, Any]:
    """The result in plain values; ids are strings, because JSON readers lose digits."""
    items = []
    for place in ranked.order[:n_shown].tolist():
        row = int(ranked.retrieved.rows[place])
        items.append(
            {
                "post_id": str(corpus.post_ids[row]),
                "author_id": str(corpus.author_ids[row]),
                "topic": corpus.topic(row),
                "score": float(ranked.weighted[place]),
                "retrieval_place": place,
                "retrieval_score": float(ranked.retrieved.scores[place]),
                "probabilities": dict(
                    zip(bundle.actions, map(float, ranked.probabilities[place]), strict=True)
                ),
            }
        )
    return {
        "bundle_id": bundle.id,
        "viewer_id": str(viewer_id),
        "corpus_posts": len(corpus),
        "retrieved": len(ranked.retrieved.rows),
        "items": items,
    }


def _print_ranked(bundle: Bundle, corpus: Corpus, ranked: Ranked, n_shown: int) -> None:
    from xfeed.phoenix.published.may import PIPELINE_WEIGHTS

    shown = [name for name in PIPELINE_WEIGHTS if name in bundle.actions]
    weights = ", ".join(f"{PIPELINE_WEIGHTS[name]:g} {name}" for name in shown)
    _say(f"{len(ranked.order)} posts found in {len(corpus):,}; sorted by {weights}")
    widths = {name: max(len(name), 6) for name in shown}
    heads = "  ".join(f"{name:>{width}}" for name, width in widths.items())
    _say(f"{'#':>4}  {'post':<20}   score  {heads}  found  topic")
    for number, place in enumerate(ranked.order[:n_shown].tolist(), start=1):
        row = int(ranked.retrieved.rows[place])
        of_actions = dict(zip(bundle.actions, ranked.probabilities[place], strict=True))
        values = "  ".join(f"{of_actions[name]:>{width}.4f}" for name, width in widths.items())
        _say(
            f"{number:>4}  {corpus.post_ids[row]!s:<20}  {ranked.weighted[place]:.4f}  {values}  "
            f"{place + 1:>5}  {corpus.topic(row)}"
        )


def _flow(name: str) -> Flow:
    """Checks the name of a flow."""
    if name == "published":
        return "published"
    if name == "one-pass":
        return "one-pass"
    raise typer.BadParameter("--flow is `published` or `one-pass`")


def _given(path: Path | None) -> Path:
    assert path is not None
    return path


def _say(text: str) -> None:
    """Prints a line; names in it may be a stranger's."""
    out().print(printable(text), highlight=False, markup=False, soft_wrap=True)
