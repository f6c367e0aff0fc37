"""Kill training with checkpoints at random moments, again and again, until it is through; no checkpoint may be lost.

    python benchmarks/kill.py [KILLS] [SEED]

A script trains with `callbacks=[Checkpoint(path)], resume_from=path`; it is killed (SIGKILL) at a random moment, and
started again. After each kill, the newest checkpoint must load, be no older than the one before, and be what the next
run goes on from; at most one temporary file may be there. After KILLS kills (100 by default) a run comes to its end,
with the bits of one that was never interrupted.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastbp as fb

LONGEST = 0.4  # seconds of training before a kill; an epoch with its checkpoint takes about a twentieth of it
SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import kill
kill.train({path!r}, {epochs}, say=True)
"""


class Say:
    """Callback: tell the parent process how many epochs there are already."""

    def state(self):
        return {}

    def restore(self, net, state):
        self.on_train_begin(net)

    def on_train_begin(self, net):
        self.begin = True

    def on_chunk_end(self, net):
        if self.begin:
            print(net.epochs_trained, flush=True)
            self.begin = False


def train(path, epochs, say=False):
    """The run: a checkpoint is 2 MB, so that a good part of the time goes into writing it."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((500, 256), np.float32), rng.integers(0, 10, 500)
    layers = [fb.Dense(512, "relu", l2=1e-4), fb.Dropout(0.2), fb.Dense(10)]
    optimizer = fb.Adam(fb.CosineDecay(1e-3, steps=8 * epochs))
    net = fb.Network(layers, (256,), loss="cross_entropy", optimizer=optimizer, seed=0)
    callbacks = [fb.EarlyStopping("val_loss", patience=epochs), fb.Checkpoint(path), *([Say()] if say else [])]
    options = {"validation_split": 0.2, "verbose": False, "resume_from": path if say else None}
    return net, net.fit(X, y, epochs, batch_size=50, callbacks=callbacks, **options)


def start(path, epochs):
    """A process that trains."""
    code = SCRIPT.format(folder=str(Path(__file__).parent), path=str(path), epochs=epochs)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def saved_epochs(path):
    """The epochs in the checkpoint; 0 if there is none. Raises whatever is wrong with it."""
    return fb.load(path).epochs_trained if path.exists() else 0


def check(condition, *what):
    if not condition:
        sys.exit(" ".join(map(str, ("FAILED:", *what))))


def main(kills=100, seed=0):
    rng = np.random.default_rng(seed)
    epochs = 8 * kills
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        reached, halves, done = 0, 0, 0
        begin = time.perf_counter()
        while done < kills:
            process = start(path, epochs)
            line = process.stdout.readline()
            if line:
                check(int(line) == reached, "went on from epoch", line, "not", reached)
                time.sleep(rng.uniform(0, LONGEST))
                process.kill()
            process.stdout.close()
            if process.wait() == 0:  # it was through: another run begins
                os.unlink(path)
                reached = 0
                continue
            check(process.returncode == -signal.SIGKILL, "ended by itself with status", process.returncode)
            before, reached = reached, saved_epochs(path)
            check(reached >= before, "a checkpoint of epoch", reached, "after one of", before)
            temporary = [name for name in os.listdir(folder) if name != path.name]
            check(len(temporary) <= 1, "temporary files:", temporary)
            halves += len(temporary)
            done += 1
        process = start(path, epochs)
        process.communicate()
        check(process.returncode == 0, "the last run ended with status", process.returncode)
        check(os.listdir(folder) == [path.name], "files:", os.listdir(folder))
        _, history = train(Path(folder) / "whole.npz", epochs)
        last = fb.load(path)
        check(last.epochs_trained == len(history.epoch) == epochs, "epochs:", last.epochs_trained)
        check((last.params == fb.load(Path(folder) / "whole.npz").params).all(), "other bits")
        seconds = time.perf_counter() - begin
        print(f"{kills} kills, {halves} of them while a checkpoint was written, {epochs} epochs, {seconds:.0f} s:")
        print("each checkpoint was whole and went on; the end has the bits of a run that was not interrupted")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
