"""The side-by-side comparison: all contestants do the same work, and the command writes what it says."""

import importlib.util
import json
import re

import numpy as np
import pytest

from fastbp.command import bench, cli


@pytest.mark.slow
@pytest.mark.parametrize("network", ["tiny", "digits", "lenet", "conv wide", "conv 1d"])
@pytest.mark.parametrize("name", [name for name in bench.CONTESTANTS if name != "torch.compile"])
def test_contestants_do_the_same_work(name, network):
    package, make = bench.CONTESTANTS[name]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if name not in bench.able([name], network):
        pytest.skip(f"{package} has no convolutions")
    spec = bench.NETWORKS[network]
    X, y = bench.make_data(spec, spec.rows)
    want = bench.CONTESTANTS["fastbp, 1 thread"][1](spec, X, y)(bench.CHECKED_STEPS)
    assert np.isfinite(want)
    assert make(spec, X, y)(bench.CHECKED_STEPS) == pytest.approx(want, rel=1e-4)


@pytest.mark.slow
def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "installed", lambda: ["fastbp, 1 thread", "fastbp", "scikit-learn"])
    assert cli.main(["bench", "--networks", "tiny,digits", "--rounds", "2", "--seconds", "0.01"]) == 0
    out, err = capsys.readouterr()
    assert "| tiny |" in out and "(scikit-learn)" in out and "digits: scikit-learn takes" in err
    found = json.loads((tmp_path / "fastbp-bench.json").read_text())
    assert set(found["results"]) == {"tiny", "digits"} and found["machine"]["cores"] >= 1
    assert (tmp_path / "fastbp-bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_command_without_any_peer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "installed", lambda: ["fastbp, 1 thread", "fastbp"])
    assert cli.main(["bench", "--networks", "tiny", "--rounds", "1", "--seconds", "0.01"]) == 0
    assert "tiny: no peer" in capsys.readouterr().err


@pytest.mark.slow
def test_a_peer_that_fails_is_shown(monkeypatch):
    monkeypatch.setitem(bench.CONTESTANTS, "broken", ("json", None))
    result = bench.compare("tiny", ["fastbp, 1 thread", "broken"], 1, 0.01)
    assert "KeyError" in result["broken"]["error"]  # the process knows no such contestant
    assert "failed" in bench.table({"tiny": result}) and "KeyError" in bench.losses({"tiny": result})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--networks", "tiny,huge"], "--networks must be some of tiny, .*, got 'huge'"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--seconds", "0"], "--seconds must be greater than 0, got 0.0"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    assert cli.main(["bench", *arguments]) == 2
    assert re.match(f"fastbp: error: {message}", capsys.readouterr().err)
