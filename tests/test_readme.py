"""The README's Python examples run as they stand, in order, in one namespace; what a command prints is shown."""

import re
from pathlib import Path

import fastbp as fb
from fastbp.command import cli

README = Path(__file__).parent.parent / "README.md"


def test_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 3
    namespace: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["net"].evaluate(namespace["X_test"], namespace["y_test"])["accuracy"] > 0.9
    out = capsys.readouterr().out
    assert namespace["net"].summary() in README.read_text() and namespace["net"].summary() in out
    for name in ("deep", "same"):
        (warning,) = namespace[name].diagnose(namespace["X"], namespace["y"]).warnings
        assert f"\n{warning}\n" in README.read_text()
    assert str(namespace["neuron"].explain([1.0, 2.0], [1.0])) in README.read_text()
    assert (namespace["xor"].predict([[0, 1], [1, 1]]).round() == [[1], [0]]).all()


def test_the_report_of_a_command(tmp_path, monkeypatch, capsys):
    """Times and scores differ between machines, so each number is compared as a #."""
    monkeypatch.chdir(tmp_path)
    shown = re.search(
        r"`fastbp (train breast_cancer --quiet)` prints:\n\n```\n(.*?)^```", README.read_text(), re.DOTALL | re.M
    )
    assert cli.main(shown[1].split()) == 0
    printed = capsys.readouterr().out
    assert re.sub(r"\d+", "#", printed) == re.sub(r"\d+", "#", shown[2])
    for line in shown[2].splitlines():
        assert line in printed or re.match("trained|test accuracy|benign|malignant|macro average", line), line


def test_the_table_names_every_part():
    rows = dict(re.findall(r"^\| (\w[\w ]*) \| (.*) \|$", README.read_text(), re.MULTILINE))
    registries = {
        "layers": fb.layers.LAYERS,
        "activations": fb.activations.ACTIVATIONS,
        "losses": fb.losses.LOSSES,
        "optimizers": fb.optimizers.OPTIMIZERS,
        "schedules": fb.schedules.SCHEDULES,
        "metrics": fb.metrics.METRICS,
    }
    for kind, parts in registries.items():
        named = set(re.findall(r"`(\w+)", rows[kind]))
        missing = {name for name in parts if not named & {name, name.removesuffix("1D").removesuffix("2D")}}
        assert not missing, f"{kind}: {missing}"
    for name in fb.initializers.INITIALIZERS:
        assert name.partition("_")[0] in rows["initial values"].lower()
