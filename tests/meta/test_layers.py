"""Who may import whom in the Rust core: arrows go one way."""

import re
from pathlib import Path

CORE = Path(__file__).parents[2] / "rust" / "xfeed-core" / "src"

LEAVES = {"ids", "clock", "action", "error", "keywords"}
STATE = {"thunder", "world", "embed"}
REQUEST = {"query", "batch", "verdict"}
STAGES = {"filters", "scorers", "selectors"}
ALLOWED: dict[str, set[str]] = {
    **{leaf: set() for leaf in LEAVES},
    "digest": LEAVES,
    "event": LEAVES,
    "query": LEAVES,
    "batch": LEAVES | {"event"},
    "verdict": LEAVES,
    "thunder": LEAVES | {"digest", "event", "snapshot", "workers"},
    "simd": set(),
    "workers": LEAVES,
    "embed": LEAVES | {"simd", "workers"},
    "phoenix": LEAVES | {"simd", "workers"},
    # vectors lie in the same large pages as tables
    "vectors": LEAVES | {"simd", "embed"},
    "snapshot": LEAVES,
    "world": LEAVES | REQUEST | {"digest", "event", "snapshot", "thunder"},
    "shared": set(),
    "stage": LEAVES | REQUEST,
    "filters": LEAVES | REQUEST | {"event", "stage"},
    "selectors": LEAVES,
    "scorers": LEAVES | {"selectors"},
    "rate_limit": LEAVES,
    "registry": LEAVES | REQUEST | {"stage", "filters"},
    "lib": set(),
}
USE = re.compile(r"\bcrate::(\w+)(?:::(\w+))?")


def test_arrows_go_one_way_and_no_stage_imports_another() -> None:
    files = sorted(CORE.rglob("*.rs"))
    assert len(files) > 30
    wrong = []
    for file in files:
        relative = file.relative_to(CORE)
        home = relative.parts[0].removesuffix(".rs")
        code = re.sub(r"//.*", "", file.read_text("utf-8"))
        for module, inner in USE.findall(code):
            if module == home:
                siblings = {path.stem for path in (CORE / home).glob("*.rs")} - {"fixture", "mod"}
                own = relative.stem in {inner, "mod"} or relative.stem.startswith("mod")
                if home in STAGES and inner in siblings and not own:
                    wrong.append(f"{relative}: one stage imports another: {inner}")
            elif module not in ALLOWED[home]:
                wrong.append(f"{relative}: {home} must not import {module}")
    assert not wrong


def test_every_module_is_in_the_table() -> None:
    modules = {path.stem for path in CORE.glob("*.rs")} | {
        path.name for path in CORE.iterdir() if path.is_dir()
    }
    assert modules == set(ALLOWED)
