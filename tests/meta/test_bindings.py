"""The bindings: frozen classes, no panic doors, one place that lets go of the interpreter lock."""

import re
from pathlib import Path

BINDINGS = sorted((Path(__file__).parents[2] / "rust" / "xfeed-py" / "src").glob("*.rs"))


def test_every_class_is_frozen() -> None:
    classes = [line for file in BINDINGS for line in re.findall(r"#\[pyclass.*", file.read_text())]
    assert len(classes) > 5
    assert all("frozen" in line and 'module = "xfeed._core"' in line for line in classes)


def test_nothing_in_the_bindings_can_panic_on_purpose() -> None:
    doors = re.compile(r"\.unwrap\(\)|\.expect\(|panic!|unreachable!|todo!|unimplemented!")
    assert not [file.name for file in BINDINGS if doors.search(file.read_text())]


def test_only_one_file_lets_go_of_the_interpreter_lock() -> None:
    letting_go = [file.name for file in BINDINGS if ".detach(" in file.read_text()]
    assert letting_go == ["detach.rs"]
