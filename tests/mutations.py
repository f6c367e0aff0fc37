"""Damaged and forged model files: the mutations that loading must refuse, each a function of a seed and a number.

    FASTBP_FUZZ=20000 pytest tests/test_files.py -k mutations      as many of them

`damaged` is what disks and networks do to a file. The others are what somebody might do on purpose, who seals the
file again: `resealed` changes bytes of the archive, `header` the JSON, `members` the arrays and how they are stored.
"""

from __future__ import annotations

import copy
import io
import json
import zipfile

import numpy as np

from fastbp.formats import files

SEAL = files._SEAL_SIZE
# What a place in the JSON may become.
JUNK = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        3,
        2**31,
        2**53,
        2**64,
        10**30,
        10**400,
        0.5,
        -0.0,
        1e-320,
        1e308,
        1e400,
        float("nan"),
    ),
    *("", "relu", "x" * 1000, "\x00", "\ud800", [], {}, [[]], [0], [1e9, 1e9], [2**40, 2**40], {"class": "Dense"}),
    *(
        {"custom": "mine"},
        {"class": "Dropout", "rate": 0.5},
        {"class": "Adam"},
        {"class": "Warmup", "schedule": 1, "steps": 2},
    ),
    *(
        {"class": "Constant", "value": 1.0},
        {"class": "Array", "values": [1]},
        {"class": "Network"},
        {"class": ["Dense"]},
    ),
)


def seal(body: bytes) -> bytes:
    """A file of these bytes, sealed."""
    return body + files._seal(io.BytesIO(body), len(body))


def pack(contents: dict, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A sealed archive of members by name: arrays, or the bytes of one."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.comment = bytes(SEAL)
        for name, value in contents.items():
            archive.writestr(f"{name}.npy", value if isinstance(value, bytes) else npy(value))
    return seal(file.getvalue()[:-SEAL])


def npy(array: np.ndarray) -> bytes:
    """The array as NumPy writes it, pickled if it must be."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def unpack(whole: bytes) -> tuple[dict, dict]:
    """The header and the arrays of a file."""
    with np.load(io.BytesIO(whole)) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("header")[()])), arrays


def with_header(header: object, arrays: dict) -> dict:
    """What `pack` makes a file of."""
    text = header if isinstance(header, str) else json.dumps(header)
    return {"header": np.array(text), **arrays}


def change_bytes(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    """A few bits, bytes or stretches of data changed, lost, repeated, or taken from another file."""
    new = bytearray(data)
    kind = rng.integers(9)
    lo, hi = sorted(int(i) for i in rng.integers(0, len(new) + 1, 2))
    short = slice(lo, min(hi, lo + int(rng.integers(1, 65))))
    if kind <= 2:
        for place in rng.integers(0, len(new), 1 + int(rng.integers(4))):
            new[place] ^= 1 << int(rng.integers(8))
    elif kind == 3:
        new[short] = rng.bytes(len(new[short]))
    elif kind == 4:
        del new[lo:]
    elif kind == 5:
        del new[short]
    elif kind == 6:
        new[lo:lo] = new[short]
    elif kind == 7:
        new[lo:hi] = bytes(hi - lo)
    else:
        new[lo:hi] = other[lo:hi]
    return bytes(new)


def damaged(rng: np.random.Generator, whole: bytes, other: bytes) -> bytes:
    return change_bytes(rng, whole, other)


def resealed(rng: np.random.Generator, whole: bytes, other: bytes) -> bytes:
    return seal(change_bytes(rng, whole[:-SEAL], other[:-SEAL]))


def header(rng: np.random.Generator, whole: bytes, other: bytes) -> bytes:
    old, arrays = unpack(whole)
    new = copy.deepcopy(old)
    for _ in range(1 + int(rng.integers(3))):
        _change_json(rng, new)
    text = json.dumps(new)
    if rng.integers(50) == 0:
        deep = "[" * 5000 + "]" * 5000
        text = deep if rng.integers(2) else text.replace("null", deep, 1)
    return pack(with_header(text, arrays))


def _change_json(rng: np.random.Generator, root: dict) -> None:
    """Replace, remove, add or move one thing somewhere in nested dicts and lists."""
    places = []

    def walk(node):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(root)
    node, key = places[rng.integers(len(places))]
    kind = rng.integers(6)
    if kind <= 2:
        node[key] = copy.deepcopy(JUNK[rng.integers(len(JUNK))])
    elif kind == 3:
        del node[key]
    elif kind == 4:
        from_node, from_key = places[rng.integers(len(places))]
        node[key] = copy.deepcopy(from_node[from_key])
    elif isinstance(node, dict):
        node["new"] = node.pop(key)
    else:
        node.append(copy.deepcopy(node[key]))


def members(rng: np.random.Generator, whole: bytes, other: bytes) -> bytes:
    old, arrays = unpack(whole)
    contents: dict = with_header(old, arrays)
    name = list(contents)[rng.integers(len(contents))]
    array = contents[name]
    kind = rng.integers(10)
    if kind == 2 and name == "header":
        name, array = "params", contents["params"]
    if kind == 0:
        return pack(contents, int(rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])))
    if kind == 1:
        del contents[name]
    elif kind == 2:
        contents[name] = array.astype(str(rng.choice(["f2", "f4", ">f8", "i8", "c16", "S8", "U4", "O", "V3"])))
    elif kind == 3:
        contents[name] = array.reshape([(1, -1), (-1, 1), (-1,)][rng.integers(3)])
    elif kind == 4:
        contents[name] = np.concatenate([array.ravel(), array.ravel()[: rng.integers(1, 9)]])
    elif kind == 5:
        flat = array.ravel().copy()
        special = [np.nan, np.inf, -np.inf, -1.0, 0.5, 1e300, 2.0**60]
        if flat.dtype.kind == "f" and flat.size:
            with np.errstate(over="ignore"):
                flat[rng.integers(flat.size)] = special[rng.integers(len(special))]
        contents[name] = flat.reshape(array.shape)
    elif kind == 6:
        contents[name] = change_bytes(rng, npy(array)[:128], npy(array)) + npy(array)[128:]
    elif kind == 7:
        _, others = unpack(other)
        contents[name] = list(others.values())[rng.integers(len(others))]
    elif kind == 8:
        contents[f"more{rng.integers(3)}"] = array
    else:
        sizes = ["(1000000000000,)", "(-1,)", "(2, 3)", "(True,)", "(0, 99999999999999)", "()", "(1.5,)"]
        contents[name] = _with_shape(npy(array), str(rng.choice(sizes)))
    return pack(contents)


def _with_shape(data: bytes, shape: str) -> bytes:
    """An .npy file with another shape in its header."""
    length = 10 + int.from_bytes(data[8:10], "little")
    text = data[10:length].decode("latin1")
    before, after = text[: text.index("(")], text[text.index(")") + 1 :].rstrip()
    new = f"{before}{shape}{after}".ljust(length - 11) + "\n"
    return data[:8] + len(new).to_bytes(2, "little") + new.encode() + data[length:]


KINDS = (damaged, resealed, header, members)


def mutation(seed: int, number: int, models: list[bytes]) -> tuple[str, bytes]:
    """The kind of a mutation of one of these files, and what it makes of it: none of them."""
    rng = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    whole, other = models[rng.integers(len(models))], models[rng.integers(len(models))]
    while (new := kind(rng, whole, other)) in models:
        pass
    return kind.__name__, new
