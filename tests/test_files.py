"""Model files: training goes on bit for bit, files are whole or not at all, and nothing else than one is loaded."""

import copy
import errno
import io
import json
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import mutations
import numpy as np
import pytest
from cases import OPTIMIZERS, batch, network, relative

import fastbp as fb
from fastbp.formats import files

# FASTBP_FUZZ says another number, 20000 say, FASTBP_FUZZ_SEED another seed than 0.
MUTATIONS = int(os.environ.get("FASTBP_FUZZ", 10_000))


def data(rows=60, inputs=4):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, inputs)), rng.integers(0, 3, rows)


def settings():
    """A network in which everything that a file must hold differs from what a new one begins with."""
    layers = [fb.Dense(6, "relu", l2=0.01, trainable=False), fb.Dropout(0.4), fb.Dense(5, "tanh", learning_rate=0.5)]
    rate = fb.Warmup(fb.PiecewiseConstant([9, 15], [0.02, 0.01, 0.005]), 4)
    net = fb.Network([*layers, fb.Dense(3)], (4,), loss="cross_entropy", optimizer=fb.Nadam(rate, clip_norm=1.0))
    net.fit(*data(), epochs=2, batch_size=8, verbose=False)
    net.layers[0].trainable = True
    net.layers[2].trainable = False
    net.layers[2].learning_rate = 0.25
    net.layers[3].learning_rate = 2.0
    net.fit(*data(), epochs=1, batch_size=8, verbose=False)
    return net


# --- what is saved ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_bit_for_bit(optimizer, dtype, tmp_path):
    X, y = batch("cross_entropy", np.random.default_rng(0), 50)
    net = network("three", "tanh", "cross_entropy", OPTIMIZERS[optimizer], dtype=dtype)
    net.fit(X, y, epochs=2, batch_size=8, verbose=False)
    if optimizer != "Rprop":
        net.learning_rate = 0.02
    net.save(tmp_path / "net.npz")
    loaded = fb.load(tmp_path / "net.npz")
    assert repr(loaded) == repr(net) and loaded.learning_rate == net.learning_rate
    for n in (net, loaded):
        n.fit(X, y, epochs=2, batch_size=8, verbose=False)
    assert (loaded.params == net.params).all() and loaded.steps_trained == net.steps_trained
    assert (loaded.predict(X) == net.predict(X)).all()


def test_every_setting_goes_on_bit_for_bit(tmp_path):
    """Dropout's position, the schedule's, layers that are frozen or slowed down after they were made."""
    net = settings()
    net.save(tmp_path / "net.npz")
    loaded = fb.load(tmp_path / "net.npz")
    assert repr(loaded) == repr(net) and loaded.learning_rate == net.learning_rate
    assert (loaded.epochs_trained, loaded.steps_trained) == (net.epochs_trained, net.steps_trained) == (3, 24)
    for layer in range(4):
        assert loaded.layers[layer].trainable == net.layers[layer].trainable
        assert loaded.layers[layer].learning_rate == net.layers[layer].learning_rate
    histories = [n.fit(*data(), epochs=3, batch_size=8, verbose=False).history for n in (net, loaded)]
    assert histories[0] == histories[1]
    assert all(np.array_equal(a, loaded.arrays()[name]) for name, a in net.arrays().items())
    before = loaded.layers[2].weight.copy()
    loaded.train_on_batch(*data())
    assert (loaded.layers[2].weight == before).all() and (loaded.layers[0].weight != net.layers[0].weight).any()


def test_initial_values_that_are_an_array_are_in_the_parameters(tmp_path):
    net = fb.Network([fb.Dense(2, kernel_init=np.arange(6).reshape(3, 2))], (3,), loss="mse")
    net.save(tmp_path / "net.npz")
    assert (fb.load(tmp_path / "net.npz").layers[0].weight == np.arange(6).reshape(3, 2)).all()


def test_loading_draws_no_initial_values(tmp_path, monkeypatch):
    net = network("two", "tanh", "mse")
    net.save(tmp_path / "net.npz")
    monkeypatch.setattr(fb.Network, "_draw", None)
    assert (fb.load(tmp_path / "net.npz").params == net.params).all()


@pytest.mark.parametrize("build", ["no bias", "layers of activation"])
@pytest.mark.parametrize("loss", ["mse", "squared_error", "binary_cross_entropy"])
def test_every_part_is_described(build, loss, tmp_path):
    net = network(build, "sigmoid", loss)
    net.save(tmp_path / "net.npz")
    assert repr(fb.load(tmp_path / "net.npz")) == repr(net)


def test_the_file_is_plain_arrays_and_json(tmp_path):
    network("two", "tanh", "mse").save(tmp_path / "net.npz", extra={"rate": np.float32(0.5), "custom": "yes"})
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        assert {file[name].dtype.kind for name in file.files} <= {"f", "U"}
        assert json.loads(str(file["header"]))["extra"] == {"rate": 0.5, "custom": "yes"}
    assert fb.load(tmp_path / "net.npz").num_params


def test_the_same_network_is_the_same_file(tmp_path):
    net = network("two", "tanh", "mse")
    for name in "ab":
        net.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    net = network("two", "tanh", "mse")
    net.save(tmp_path / "net.npz")
    before = (tmp_path / "net.npz").read_bytes()
    net.params[3] = np.nan
    with pytest.raises(ValueError, match="params must be finite, got NaN or infinity"):
        net.save(tmp_path / "net.npz")
    with pytest.raises(TypeError, match=r"must hold numbers, texts, lists and dicts of them, got <object"):
        network("two", "tanh", "mse").save(tmp_path / "net.npz", extra={"a": object()})
    for call in (net.save, fb.load):
        with pytest.raises(TypeError, match="path must be a path of a file, got 5"):
            call(5)
    assert (tmp_path / "net.npz").read_bytes() == before and os.listdir(tmp_path) == ["net.npz"]


# --- how it is written --------------------------------------------------------------------------------


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


def test_saving_goes_through_a_link_and_never_over_a_device(tmp_path):
    (tmp_path / "link.npz").symlink_to(tmp_path / "real.npz")
    network("two", "tanh", "mse").save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink() and fb.load(tmp_path / "real.npz").num_params
    for place, error in ((os.devnull, OSError), (tmp_path, IsADirectoryError)):
        with pytest.raises(error):
            network("two", "tanh", "mse").save(place)
    assert not os.path.isfile(os.devnull)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    net = network("two", "tanh", "mse")
    net.save(path)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    for place in ("numpy.lib.format.write_array", "os.fsync", "os.replace", "tempfile.mkstemp", "os.chmod"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(OSError, match="No space left") as caught:
                net.save(path)
        assert caught.value.filename == str(path)
        assert path.read_bytes() == before and os.listdir(tmp_path) == ["net.npz"]


WRITERS = {
    "save": lambda net, path: net.save(path),
    "export_c": lambda net, path: net.export_c(path),
    "Checkpoint": lambda net, path: net.fit(*data(), callbacks=fb.Checkpoint(path), verbose=False),
    "CSVLogger": lambda net, path: net.fit(*data(), callbacks=fb.CSVLogger(path), verbose=False),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_is_not_there_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("a")
    Path("link").symlink_to(tmp_path / "gone" / "x")
    net = network("two", "tanh", "cross_entropy", inputs=4)
    for path, folder in (("models/x", "models"), (Path("a.csv/x"), "a.csv"), ("link", str(tmp_path / "gone"))):
        with pytest.raises(FileNotFoundError) as caught:
            WRITERS[name](net, path)
        assert caught.value.strerror == f"there is no folder {folder}" and caught.value.filename == str(path)
    assert net.epochs_trained == 0 and sorted(os.listdir()) == ["a.csv", "link"]
    for call in (*WRITERS.values(), lambda net, path: fb.load(path)):
        with pytest.raises(ValueError, match=r"^path must be a path of a file, got an empty one$"):
            call(net, "")


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path, monkeypatch):
    flush, refused = os.fsync, []

    def refuse(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            refused.append(handle)
            raise OSError(errno.EINVAL, "a folder")
        flush(handle)

    monkeypatch.setattr("os.fsync", refuse)
    with files.replacing(tmp_path / "a") as file:
        file.write(b"all")
    assert (tmp_path / "a").read_bytes() == b"all" and refused


def test_what_a_killed_process_left_is_removed_and_what_others_write_is_not(tmp_path):
    for left in (".net.npz.abc.tmp", ".net.npz.def.tmp", ".other.npz.abc.tmp", "net.npz.tmp"):
        (tmp_path / left).write_bytes(b"half")
    with files.replacing(tmp_path / "net.npz") as slow:
        slow.write(b"one")
        with files.replacing(tmp_path / "net.npz") as quick:
            quick.write(b"two")
        assert (tmp_path / "net.npz").read_bytes() == b"two"
    assert (tmp_path / "net.npz").read_bytes() == b"one"
    assert sorted(os.listdir(tmp_path)) == [".other.npz.abc.tmp", "net.npz", "net.npz.tmp"]


# --- what is refused ----------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """The path, the header and the arrays of a whole file."""
    network("two", "tanh", "mse").save(tmp_path / "net.npz")
    return tmp_path / "net.npz", *mutations.unpack((tmp_path / "net.npz").read_bytes())


def refuse(path, content, match="not a (whole|valid) fastbp model"):
    path.write_bytes(content if isinstance(content, bytes) else mutations.pack(content))
    with pytest.raises(fb.FileFormatError, match=match):
        fb.load(path)


def test_what_packs_a_forged_file_packs_a_whole_one(saved):
    path, header, arrays = saved
    path.write_bytes(mutations.pack(mutations.with_header(header, arrays)))
    assert (fb.load(path).params == arrays["params"]).all()


def test_damaged_files_are_refused(saved):
    path, *_ = saved
    whole = path.read_bytes()
    for length in (0, 1, 77, 78, 100, len(whole) // 2, len(whole) - 1):
        refuse(path, whole[:length])
    for content in (b"PK" + whole, whole + b"\0", bytes(1000), whole + whole):
        refuse(path, content)
    for place in range(0, len(whole), 101):
        changed = bytearray(whole)
        changed[place] ^= 1
        refuse(path, bytes(changed))
    with pytest.raises(FileNotFoundError):
        fb.load(path.parent / "none.npz")
    with pytest.raises(IsADirectoryError):
        fb.load(path.parent)


def test_arrays_that_are_not_the_networks_are_refused(saved):
    path, header, arrays = saved
    whole = mutations.with_header(header, arrays)
    for name in whole:
        refuse(path, {n: array for n, array in whole.items() if n != name})
    for name, array in arrays.items():
        refuse(path, {**whole, name: array[1:]}, f"{name} must be float64 of shape")
        refuse(path, {**whole, name: array.astype(np.float32)}, f"{name} must be float64 of shape")
        refuse(path, {**whole, name: array.reshape(1, -1)}, f"{name} must be float64 of shape")
        refuse(path, {**whole, name: array + np.inf})
    refuse(path, {**whole, "params": arrays["params"] * np.nan}, "params must be finite")
    for at, value in ((0, -1.0), (0, 0.5), (1, -1.0)):
        scalars = arrays["scalars"].copy()
        scalars[at] = value
        refuse(path, {**whole, "scalars": scalars}, "scalars must begin with the steps done and the learning rate")


def test_headers_that_describe_no_network_are_refused(saved):
    path, header, arrays = saved
    text = json.dumps(header)
    for old, new in (('"Dense"', '"Dance"'), ('"MSE"', '"Adam"'), ('"units": 5', '"units": "5"'), ("[6]", "6")):
        assert old in text
        refuse(path, mutations.with_header(text.replace(old, new), arrays))
    for text in (
        "",
        "[]",
        "5",
        '"a"',
        "null",
        "[" * 100_000,
        '{"format": "fastbp model"}',
        '{"format": 1, "version": 1}',
    ):
        refuse(path, mutations.with_header(text, arrays), "fastbp model")
    refuse(path, mutations.with_header({**header, "version": 2}, arrays), "version 1, got .* version 2")
    for name in header:
        refuse(path, mutations.with_header({n: v for n, v in header.items() if n != name}, arrays))


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_never_unpickled(saved, tmp_path):
    path, header, arrays = saved
    whole, proof = mutations.with_header(header, arrays), tmp_path / "proof"
    evil = np.array([Payload(proof)], dtype=object)
    for name in whole:
        refuse(path, {**whole, name: evil})
        refuse(path, {**whole, name: pickle.dumps(Payload(proof))})
    path.write_bytes(pickle.dumps(Payload(proof)))
    with pytest.raises(fb.FileFormatError):
        fb.load(path)
    assert not proof.exists()


def bombs(header, arrays):
    """Small files that ask for terabytes."""
    layer = header["layers"][0]
    whole = mutations.with_header(header, arrays)

    def made_of(input_shape, *layers):
        return mutations.with_header({**header, "input_shape": input_shape, "layers": list(layers)}, arrays)

    yield "units", mutations.pack(made_of([6], {**layer, "units": 10**12}))
    yield "bits", mutations.pack(made_of([2**32], {**layer, "units": 2**32, "bias": False}))
    yield "digits", mutations.pack(made_of([6], {**layer, "units": 10**3000}))
    yield "inputs", mutations.pack(made_of([10**12], layer))
    yield "flat", mutations.pack(made_of([2**40, 2**40], {"class": "Flatten"}, layer))
    yield "layers", mutations.pack(made_of([6], *[{**layer, "units": 5}] * 3000))
    yield "zip", mutations.pack({**whole, "params": np.zeros(10**8)}, zipfile.ZIP_DEFLATED)
    for shape in ("(1000000000000,)", "(0, 1000000000000000)", "(99999999, 99999999, 99999999)"):
        yield shape, mutations.pack({**whole, "params": mutations._with_shape(mutations.npy(arrays["params"]), shape)})
    yield (
        "minus",
        mutations.pack({**whole, "params": mutations._with_shape(mutations.npy(arrays["params"]), "-" * 9000 + "()")}),
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = bytes(mutations.SEAL)
        archive.writestr("params.npy", mutations.npy(np.zeros(10**5)))
        first = archive.infolist()[0]
        for number in range(1000):  # all of them are one piece of the file
            again = zipfile.ZipInfo("params.npy")
            again.header_offset, again.CRC, again.file_size = first.header_offset, first.CRC, first.file_size
            again.compress_size, again.extra = first.compress_size, bytes([number % 256])
            archive.filelist.append(again)
    yield "overlap", mutations.seal(file.getvalue()[: -mutations.SEAL])


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of a process's memory that all systems have")
def test_small_files_take_little_memory_and_time(saved, tmp_path):
    """In a process that may take 100 MB more than it has."""
    _, header, arrays = saved
    for name, content in bombs(header, arrays):
        (tmp_path / f"{name}.bomb").write_bytes(content)
    code = """
import pathlib, resource, sys, time
import fastbp as fb
fb.load(sys.argv[1] + "/net.npz")
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 100_000_000,) * 2)
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.bomb")):
    begin = time.process_time()
    try:
        fb.load(path)
    except fb.FileFormatError as error:
        assert time.process_time() - begin < 5, path
        print(path.name, str(error)[:300])
    else:
        sys.exit(f"{path} was loaded")
"""
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("fastbp model") == len(list(bombs(header, arrays)))


def models(folder):
    """Whole files: without and with what a checkpoint adds."""
    net = settings()
    net.save(folder / "settings.npz")
    network("layers of activation", "relu", "mse", fb.SGD(0.1), dtype="float32").save(
        folder / "sgd.npz", extra={"a": [1]}
    )
    fitted(folder / "checkpoint.npz")
    return [path.read_bytes() for path in sorted(folder.glob("*.npz"))]


def fitted(path, epochs=3, **options):
    """A network and the callbacks that a checkpoint has the states of."""
    net = fb.Network([fb.Dense(5, "relu"), fb.Dense(3)], (4,), loss="cross_entropy", seed=0)
    callbacks = [fb.EarlyStopping("loss", 5), fb.ReduceOnPlateau("loss"), fb.StopAtLoss(0.0), fb.Checkpoint(path)]
    return net.fit(*data(), epochs=epochs, callbacks=callbacks, verbose=False, **options)


def outcome(path):
    """What becomes of a file: "refused", or else whether it has parts that only the user has, or is loaded."""
    try:
        net = fb.load(path)
    except fb.FileFormatError:
        return "refused"
    except ValueError as error:
        assert str(error).startswith("custom_objects must hold"), error
        return "custom"
    assert all(np.isfinite(array).all() for array in net.arrays().values())
    try:
        fitted(path, epochs=1, resume_from=path)
    except fb.FileFormatError:
        return "refused as a checkpoint"
    except ValueError as error:
        assert str(error).startswith(("resume_from must be", "callbacks with a state must be")), error
        return "loaded"
    return "resumed"


def test_mutations_of_whole_files(tmp_path):
    """Loading a file that is none raises FileFormatError and nothing else, whatever is wrong with it."""
    seed = int(os.environ.get("FASTBP_FUZZ_SEED", 0))
    whole = models(tmp_path)
    path, counts = tmp_path / "mutation.npz", {}
    for number in range(MUTATIONS):
        kind, content = mutations.mutation(seed, number, whole)
        path.write_bytes(content)
        try:
            found = outcome(path)
        except BaseException:
            print(f"FASTBP_FUZZ_SEED={seed}, mutation {number}: {kind}")
            raise
        counts[kind, found] = counts.get((kind, found), 0) + 1
        assert kind != "damaged" or found == "refused", number
    print(counts)
    refused = sum(count for (_, found), count in counts.items() if found.startswith("refused"))
    assert refused > 0.7 * MUTATIONS


# --- what earlier versions wrote ----------------------------------------------------------------------

FOLDER = Path(__file__).parent / "data"
OLD = sorted(path.name for path in FOLDER.glob("*.npz") if not path.stem.endswith("expected"))


@pytest.mark.parametrize("name", OLD)
def test_models_of_earlier_versions_are_read(name):
    """They predict, and go on training, as they did; but for rounding, which depends on the CPU."""
    version, model = name.removesuffix(".npz").rsplit("-", 1)
    with np.load(FOLDER / f"{version}-expected.npz") as file:
        X, y, predictions, after = (file[f"{model}.{part}"] for part in ("X", "y", "predictions", "next"))
    net = fb.load(FOLDER / name)
    most = 1e-6 if net.dtype == np.float32 else 1e-13
    assert relative(net.predict(X), predictions) < most
    epoch = net.epochs_trained
    net.fit(X, y, batch_size=8, shuffle=False, verbose=False)
    assert relative(net.params, after) < 4 * most and net.epochs_trained == epoch + 1 == 4


def test_checkpoints_of_earlier_versions_go_on():
    X = np.zeros((32, 4))
    for name in (name for name in OLD if name.endswith("checkpoint.npz")):
        callbacks = [fb.EarlyStopping("loss", 2), fb.ReduceOnPlateau("loss", patience=0)]
        net = fb.Network([fb.Dense(3)], (4,), loss="cross_entropy", optimizer=fb.Adam(0.01))
        history = net.fit(X, np.zeros(32, int), 4, callbacks=callbacks, resume_from=FOLDER / name, verbose=False)
        assert history.epoch == [0, 1, 2, 3] and net.seed == 4 and callbacks[0].best is not None


def test_there_are_models_of_an_earlier_version():
    assert len(OLD) >= 4


# --- extra --------------------------------------------------------------------------------------------


def small():
    return fb.Network([fb.Dense(2)], (3,), loss="mse", seed=0)


def test_load_gives_extra_back(tmp_path):
    path, extra = tmp_path / "net.npz", {"classes": ["no", "yes"], "scale": 0.5, "nested": {"a": [1, None, True]}}
    net = small()
    assert net.extra == {}
    net.save(path)
    assert fb.load(path).extra == {}
    net.save(path, extra=extra)
    assert net.extra == {}  # saving changes nothing in the network
    again = fb.load(path)
    assert again.extra == extra
    again.extra["more"] = 1
    again.save(path)
    assert fb.load(path).extra == {**extra, "more": 1}
    again.save(path, extra={})
    assert fb.load(path).extra == {}


def test_copies_and_checkpoints_keep_extra(tmp_path):
    net, path = small(), tmp_path / "net.npz"
    net.extra = {"names": ["a", "b"]}
    for twin in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        twin.extra["names"].append("c")
        assert net.extra == {"names": ["a", "b"]} and twin.extra == {"names": ["a", "b", "c"]}
    X = np.ones((5, 3))
    net.fit(X, X[:, :2], callbacks=fb.Checkpoint(path), verbose=False)
    assert fb.load(path).extra == net.extra
    other = small()
    other.fit(X, X[:, :2], epochs=2, resume_from=path, verbose=False)
    assert other.extra == net.extra


def test_extra_is_a_dict_of_what_json_has(tmp_path):
    net = small()
    with pytest.raises(TypeError, match="extra must be a dict, got 3"):
        net.extra = 3
    with pytest.raises(TypeError, match="extra must be a dict or None, got 'text'"):
        net.save(tmp_path / "net.npz", extra="text")
    with pytest.raises(TypeError, match=r"header must hold numbers, texts, lists and dicts of them, got \{1\}"):
        net.save(tmp_path / "net.npz", extra={"a": {1}})
    assert not list(tmp_path.iterdir()) and net.extra == {}


def test_a_header_whose_extra_is_none(tmp_path):
    net, path = small(), tmp_path / "net.npz"
    net.save(path)
    header, arrays = files.read(path)
    files.write(path, {**header, "extra": [1]}, arrays)
    with pytest.raises(fb.FileFormatError, match="extra must be a dict"):
        fb.load(path)
