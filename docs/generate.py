"""Writes docs/reference.md and docs/xfeed.proto: what comes from the code itself."""

from __future__ import annotations

import sys
from pathlib import Path

from xfeed import _core
from xfeed.actions import ACTIONS
from xfeed.config import FeedConfig, describe
from xfeed.presets import available, load_preset

SETTINGS = """\
In `xfeed.toml` in the data directory, as `XFEED_SECTION__SETTING` in the environment,
or as `--set section.setting=value`; later ones win."""

TARGET = Path(__file__).parent / "reference.md"
SCHEMA = Path(__file__).parent / "xfeed.proto"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def reference() -> str:
    """The whole page."""
    presets = [load_preset(name) for name in available()]
    settings = [[f"`{s.name}`", f"`{s.value}`", s.description] for s in describe(FeedConfig())]
    actions = [
        [
            str(row),
            f"`{action.name}`",
            "" if action.published_number is None else str(action.published_number),
            action.sign,
            action.origin,
            *(f"{preset.weights[action.name]:g}" for preset in presets),
            action.meaning,
        ]
        for row, action in enumerate(ACTIONS)
    ]
    names = [preset.name for preset in presets]
    return (
        "\n\n".join(
            [
                "# Reference",
                "Written by `make docs` from the code; a test compares.",
                "## Settings",
                SETTINGS,
                table(["setting", "default", "meaning"], settings),
                "## Actions",
                "The position is the bit, the model head and the weight index. Weights by preset.",
                table(
                    ["#", "action", "published number", "sign", "origin", *names, "meaning"],
                    actions,
                ),
                "## Filters",
                table(["filter", "removes"], [[f"`{n}`", what] for n, what in _core.filters()]),
                "## Reasons",
                table(["reason", "meaning"], [[f"`{n}`", what] for n, what in _core.reasons()]),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    SCHEMA.write_text(_core.protobuf_schema(), encoding="utf-8")
    sys.stdout.write(f"wrote {TARGET.name} and {SCHEMA.name}\n")
