"""Model files: training goes on bit for bit, and files are whole or not at all."""

import os
import stat

import numpy as np
import pytest
from cases import OPTIMIZERS, batch, network

import fastbp as fb


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_bit_for_bit(optimizer, dtype, tmp_path):
    X, y = batch("cross_entropy", np.random.default_rng(0), 50)
    net = network("three", "tanh", "cross_entropy", OPTIMIZERS[optimizer], dtype=dtype)
    net.fit(X, y, epochs=2, batch_size=8, verbose=False)
    net.learning_rate = 0.02
    net.save(tmp_path / "net.npz")
    loaded = fb.load(tmp_path / "net.npz")
    assert repr(loaded) == repr(net) and loaded.learning_rate == 0.02
    for n in (net, loaded):
        n.fit(X, y, epochs=2, batch_size=8, verbose=False)
    assert (loaded.params == net.params).all() and loaded.steps_trained == net.steps_trained
    assert (loaded.predict(X) == net.predict(X)).all()


@pytest.mark.parametrize("build", ["no bias", "layers of activation"])
@pytest.mark.parametrize("loss", ["mse", "squared_error", "binary_cross_entropy"])
def test_every_part_is_described(build, loss, tmp_path):
    net = network(build, "sigmoid", loss)
    net.save(tmp_path / "net.npz")
    assert repr(fb.load(tmp_path / "net.npz")) == repr(net)


def test_the_file_is_plain_arrays_and_json(tmp_path):
    network("two", "tanh", "mse").save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        assert {file[name].dtype.kind for name in file.files} <= {"f", "U"}


def test_a_path_without_the_suffix_is_taken_as_it_is(tmp_path):
    network("two", "tanh", "mse").save(str(tmp_path / "model"))
    assert os.listdir(tmp_path) == ["model"] and fb.load(str(tmp_path / "model")).num_params


def test_saving_replaces_the_file_and_keeps_its_permissions(tmp_path):
    path = tmp_path / "net.npz"
    network("two", "tanh", "mse").save(path)
    path.chmod(0o640)
    network("three", "tanh", "mse").save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and len(fb.load(path).layers) == 3
    assert os.listdir(tmp_path) == ["net.npz"]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    net = network("two", "tanh", "mse")
    net.save(path)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    for place in ("numpy.savez", "os.fsync", "os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(OSError, match="No space left"):
                net.save(path)
        assert path.read_bytes() == before and os.listdir(tmp_path) == ["net.npz"]
    with pytest.raises(FileNotFoundError):
        net.save(tmp_path / "no" / "net.npz")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "net.npz"
    network("two", "tanh", "mse").save(path)
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    with pytest.raises(FileNotFoundError):
        fb.load(tmp_path / "none.npz")

    def refuse(content, match="not a (whole|valid) fastbp model"):
        path.write_bytes(content) if isinstance(content, bytes) else np.savez(path, **content)
        with pytest.raises(fb.FileFormatError, match=match):
            fb.load(path)

    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        refuse(whole[:length])
    refuse(b"PK" + whole)
    refuse(bytes(1000))
    refuse({name: a for name, a in arrays.items() if name != "params"})
    refuse({name: a for name, a in arrays.items() if name != "header"})
    refuse(arrays | {"params": arrays["params"][1:]})
    refuse(arrays | {"params": arrays["params"] * np.nan})
    refuse(arrays | {"params": arrays["params"].astype(np.float32)})
    header = str(arrays["header"][()])
    for old, new in (('"Dense"', '"Dance"'), ('"MSE"', '"Adam"'), ('"units": 5', '"units": "5"'), ("[6]", "6")):
        assert old in header
        refuse(arrays | {"header": np.array(header.replace(old, new))})
    refuse(arrays | {"header": np.array(header.replace('"version": 1', '"version": 2'))}, "version 1, got .* version 2")
    refuse(arrays | {"header": np.array([print], dtype=object)})
