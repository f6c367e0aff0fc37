"""Network: the object API. It checks what users give, and has it done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numba.core.typing.typeof import Purpose
from numba.extending import typeof_impl

from .diagnosis import examination, explanation
from .diagnosis.explanation import Explanation
from .diagnosis.report import Diagnosis
from .display import summaries
from .embedding.capi import CPointers, make_pointers
from .embedding.handles import Handle, make_handle
from .embedding.objective import Objective
from .errors import brief, check_bool, check_integer, check_path
from .formats import export, networks
from .layers import Layer
from .losses import Loss
from .model import Model
from .optimizers import Optimizer
from .training import evaluation, feeds, hidden, loop, request, steps, transfer
from .training.evaluation import EVALUATION_BATCH
from .training.feeds import Feed
from .training.history import History


class Network(Model):
    """A feed-forward network, its loss and its optimizer.

    Arguments:
        layers: a sequence of layers, the first nearest to the input; at least one.
        input_shape: the shape of one row of X, such as (784,).
        loss: "mse", "squared_error", "mae", "huber", "quantile", "gaussian_nll", "cross_entropy",
            "binary_cross_entropy", "poisson", "hinge", "kl_divergence", or a loss object (see fastbp.losses).
        optimizer: such as SGD(0.1) or Adam(1e-3); None means Adam(1e-3).
        dtype: "float32" or "float64".
        seed: an integer, 0 or more, that decides initial values, shuffling and dropout; None draws one.

    The same seed gives the same bits, on any number of threads.
    Raises TypeError or ValueError, naming the argument, for anything else.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Sequence[int],
        *,
        loss: str | Loss,
        optimizer: Optimizer | str | None = None,
        dtype: Any = "float32",
        seed: int | None = None,
    ):
        super().__init__(layers, input_shape, loss=loss, optimizer=optimizer, dtype=dtype, seed=seed)

    def __repr__(self) -> str:
        layers = ", ".join(repr(layer.layer) for layer in self.layers)
        return (
            f"Network([{layers}], {self.input_shape}, loss={self.loss!r}, optimizer={self.optimizer!r},"
            f" dtype='{self.dtype}', seed={self.seed})"
        )

    def summary(self) -> str:
        """A table of layers, output shapes and numbers of parameters, as text to print."""
        return summaries.text(self)

    def _repr_html_(self) -> str:
        """For notebooks: the summary."""
        return summaries.html(self)

    # --- training ---

    def fit(
        self,
        X: Any,
        y: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        *,
        validation_data: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        sample_weight: Any = None,
        class_weight: Any = None,
        metrics: Any = (),
        callbacks: Any = (),
        resume_from: str | os.PathLike | None = None,
        verbose: bool = True,
    ) -> History:
        """Train; called again, it goes on from where the network stands.

        Arguments:
            X: (rows, *input_shape), at least one row; any real dtype, which is converted a batch at a time. Or, with
                y=None, an iterable of batches (X, y) or (X, y, sample_weight); see below.
            y: integer labels (rows,) or probabilities (rows, outputs) for cross_entropy; (rows, outputs), or
                (rows,) for one output, for the other losses (0 to 1 for binary_cross_entropy). For gaussian_nll half
                as many targets as outputs; for Quantile with a list, (rows,) is the target of all outputs.
            epochs: times that all rows are used, 1 or more.
            batch_size: rows in a step, 1 or more; the last step of an epoch takes what is left.
            validation_data: (X, y) or (X, y, sample_weight), or an iterable of such batches (a torch DataLoader, say),
                evaluated after each epoch.
            validation_split: the share, 0 ≤ share < 1, of the last rows that are kept for validation instead.
            shuffle: whether each epoch takes the rows in another random order.
            sample_weight: (rows,), 0 or more: factors of the rows' losses. The loss is the sum of the weighted
                row losses over the number of rows.
            class_weight: factors for the rows of a class, in training and in validation: a mapping from label to
                weight, 1 for a label that it lacks, or "balanced": rows / (classes × rows of the class), counted in the
                rows that are trained on.
                A row of probabilities is of the most probable class; with one output, of class 1 above ½, else of 0.
            metrics: names (see fastbp.metrics) or functions f(y_true, y_pred) or f(y_true, y_pred, sample_weight),
                of the validation data and what `predict` gives for them, after each epoch; for the history's
                "val_" + name.
            callbacks: objects with on_epoch_end(net, epoch, logs) or other hooks (see fastbp.callbacks);
                `net.stop_training = True` there ends training.
            resume_from: a file that a Checkpoint of an earlier run writes, or will write; see below.
            verbose: whether progress goes to stderr; 0, 1 and 2 are taken as well.

        Memory maps (np.memmap and views of it) of 256 MB or more are read in pieces of 64 MB, as mapped pages count
        as the process's memory. With shuffle, an epoch takes the pieces in random order, and the rows of each piece;
        without, results are those of an array in memory, bit for bit. A batch must fit into memory, and so must what
        metrics are of: y and the predictions.

        Batches are iterated anew for each epoch, and each is a step, in the order that they come: batch_size and
        shuffle don't apply, and sample_weight, validation_split and class_weight="balanced" can't be given. They are
        checked one by one; a bad one's error has its number, from 0.

        With resume_from, the run that wrote the file goes on: the network becomes what it was then, with its seed, and
        so do callbacks that have a state and the history. `epochs` is the total of the run. With the same data and
        arguments it ends with the very bits of a run that was never interrupted. Without such a file the run begins
        with the first epoch, so that a script with callbacks=[Checkpoint(path)], resume_from=path can be run again and
        again until it is through. ValueError for a file of a network with other layers (but for initial values,
        `trainable` and `learning_rate`), another loss, optimizer or dtype, and for other callbacks with a state;
        FileFormatError for a file that is not a whole checkpoint.

        Returns a History. Ctrl-C ends training with the history so far, within about 0.1 s: a batch that takes longer
        is as if it had not begun. A second one within two seconds is raised.
        Raises TypeError or ValueError, naming the argument, before anything has changed; DivergedError if the
        loss turns NaN or infinite, or a metric or callback raises ValueError or ArithmeticError when the network, or
        what it gives for the validation data, has done so. After that, as after any exception within an epoch (of a bad
        batch, a metric, a callback), the network is as it was before that epoch, or before all that ran in one call.
        """
        task = request.check_fit(
            self,
            X,
            y,
            epochs,
            batch_size,
            validation_data=validation_data,
            validation_split=validation_split,
            shuffle=shuffle,
            sample_weight=sample_weight,
            class_weight=class_weight,
            metrics=metrics,
            callbacks=callbacks,
            resume_from=resume_from,
            verbose=verbose,
        )
        return loop.train(self, task)

    def train_on_batch(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """One step on all rows of X at once; returns the loss before it.

        Shapes and errors as in fit. Raises DivergedError if the loss is NaN or infinite: nothing has changed then.
        """
        return steps.train_on_batch(self, self._feed(X, y, sample_weight))

    def value_and_grad(self, X: Any, y: Any, sample_weight: Any = None) -> tuple[float, np.ndarray]:
        """The loss over all rows of X, and its gradient (num_params,), a copy laid out as params.

        Shapes and errors as in fit; nothing is updated.
        """
        return steps.value_and_grad(self, self._feed(X, y, sample_weight))

    def apply_gradients(self, gradient: Any) -> None:
        """One step of the optimizer with this gradient, in place of the one that train_on_batch finds.

            loss, gradient = net.value_and_grad(X, y)
            net.apply_gradients(gradient)

        gradient: (num_params,), laid out as params, of any real dtype; it is copied.

        All is as in training: step count and schedule, clipping, gradient noise, weight decay, the layers' learning
        rates; frozen layers stay. The penalties l1 and l2 are a part of the gradient that value_and_grad gives, so they
        are not added again. The two lines above do what train_on_batch does, bit for bit, unless the network has
        Dropout or BatchNorm: training computes these in another way than value_and_grad. BatchNorm's statistics stay.
        Raises TypeError if it holds no real numbers, ValueError for another shape, NaN, infinity, or a number too large
        for the network's dtype: nothing has changed then.
        """
        steps.apply_gradients(self, gradient)

    def copy_from(self, other: Network) -> None:
        """Take over the parameters and the statistics (BatchNorm's) of a network with layers of the same shapes.

        The optimizer's state, the step count and the random state stay. Layers without parameters don't matter, nor do
        loss, optimizer and activations; numbers of another dtype are converted.
        Raises TypeError if it is no Network; ValueError that names the first layer whose shapes differ, or for numbers
        that are not finite in this network's dtype: nothing has changed then.
        """
        if not isinstance(other, Network):
            raise TypeError(f"other must be a Network, got {brief(other)}")
        transfer.copy_from(self, other)

    def input_gradient(self, X: Any, y: Any) -> np.ndarray:
        """∂loss/∂X, shaped like X, of the network's dtype. Shapes and errors as in fit."""
        return steps.input_gradient(self, self._feed(X, y))

    def jacobian(self, X: Any) -> np.ndarray:
        """∂predict(X)/∂params: (rows · outputs, num_params), of the network's dtype; frozen layers count too.

        Row r · outputs + o is the gradient of output o of row r: what scipy.optimize.least_squares wants.
        Shapes and errors as in predict.
        """
        return evaluation.jacobian(self, feeds.feed_inputs(self.spec, X))

    def input_jacobian(self, X: Any) -> np.ndarray:
        """∂predict(X)/∂X, each row by its own inputs: (rows, *output_shape, *input_shape), of the network's dtype.

        Shapes and errors as in predict.
        """
        return evaluation.input_jacobian(self, feeds.feed_inputs(self.spec, X))

    def objective(self, X: Any, y: Any, sample_weight: Any = None) -> Objective:
        """The loss as a function of the parameters, which gives (loss, gradient) in float64 for any network.

            found = scipy.optimize.minimize(net.objective(X, y), net.params, jac=True, method="L-BFGS-B")
            net.params = found.x

        Calling it changes nothing in the network: net.params stays what it is until it is assigned to. X, y and
        sample_weight are copied. All layers count, frozen ones too.
        Shapes and errors as in fit.
        """
        with self.lock:
            return Objective(self.plan, self.arenas(), self.spec, X, y, sample_weight)

    # --- looking inside ---

    def diagnose(self, X: Any, y: Any, sample_weight: Any = None) -> Diagnosis:
        """What is wrong in backpropagation, if anything, seen on one training step of a copy of the network.

        For each layer: how large its activations, gradients and steps are, how many of its units are saturated or
        dead; and in sentences what is wrong in layers, X, y or the learning rate, and what may help. It looks at all
        rows of X as one batch; of more than 2048, at so many, at random. Dropout is active, as in training. Where
        the step looks too long or too short, some others in its direction are tried.

        Shapes and errors as in fit; nothing is updated. A loss that is not finite is a finding too.
        """
        return examination.diagnose(self, X, y, sample_weight)

    def explain(self, x: Any, y: Any) -> Explanation:
        """The four steps of backpropagation for one example: forward, error, backward, update, with their numbers.

        Arguments:
            x: one row, of shape input_shape.
            y: its target: a label, a number, or a vector (outputs,).

        The numbers are those of one training step of a copy of the network, with dropout active; nothing is updated.
        Raises TypeError or ValueError for another shape or bad values, ValueError if a layer can't train on one row
        (BatchNorm of features), DivergedError if the loss is not finite.
        """
        return explanation.explain(self, x, y)

    # --- inference ---

    def evaluate(
        self,
        X: Any,
        y: Any = None,
        batch_size: int = EVALUATION_BATCH,
        *,
        sample_weight: Any = None,
        class_weight: Any = None,
        metrics: Any = (),
    ) -> dict[str, float]:
        """{"loss": …}, with "accuracy" (0 to 1) for classification, and metrics by name, over all rows of X.

        batch_size is how many rows are worked on at once: it costs memory and does not change the meaning.
        sample_weight and class_weight ("balanced": counted in these rows) are factors of the rows' losses, and not of
        the accuracy; sample_weight goes to the metrics that take one.
        Without y, X is an iterable of batches (X, y) or (X, y, sample_weight), such as a torch DataLoader; then
        sample_weight and class_weight="balanced" can't be given. Numbers are those of all its rows together.
        Memory maps, metrics, shapes and errors as in fit.
        """
        batch_size = check_integer("batch_size", batch_size, low=1)
        functions = request.metrics_of(self, metrics)
        source = request.weighed_source(self, X, y, sample_weight, class_weight)
        return evaluation.evaluate(self, source, batch_size, functions)

    def forward(self, X: Any, batch_size: int = EVALUATION_BATCH, *, layer: Any = None) -> Any:
        """The raw outputs of the last layer (rows, outputs): logits, where the loss is from logits.

        layer: the number of a layer, from 0, or from -1 backwards, or its name, such as "Dense_1": what comes out of
            that layer instead, behind its activation, (rows, *net.layers[layer].output_shape). For a list of them, a
            list of arrays, all from one pass. A last softmax or sigmoid that the loss takes over is not done: the last
            layer's output is what `forward` gives without `layer`.

        The network is as it predicts: nothing is dropped, and BatchNorm takes its running statistics.
        Memory maps, shapes and errors as in fit; TypeError or ValueError for another layer.
        """
        if layer is None:
            return self._infer("forward", X, batch_size)
        layers, batch_size = hidden.layer_numbers(self, layer), check_integer("batch_size", batch_size, low=1)
        outs = hidden.layer_outputs(self, layers, feeds.feed_inputs(self.spec, X), batch_size)
        return outs[0] if isinstance(layer, (str, int, np.integer)) else outs

    def predict(self, X: Any, batch_size: int = EVALUATION_BATCH) -> np.ndarray:
        """The outputs (rows, outputs) through the loss's inverse link.

        Probabilities by softmax for cross_entropy, by sigmoid for binary_cross_entropy; rates by exp for poisson; the
        means and behind them the variances, by exp, for gaussian_nll; else as they are.
        Memory maps, shapes and errors as in fit.
        """
        return self._infer("predict", X, batch_size)

    def _infer(self, program: str, X: Any, batch_size: int) -> np.ndarray:
        batch_size = check_integer("batch_size", batch_size, low=1)
        return evaluation.infer(self, program, feeds.feed_inputs(self.spec, X), batch_size)

    def handle(self, rows: int = 1, *, training: bool = True) -> Handle:
        """What compiled code needs to run this network: see fastbp.jit.

        rows: how many rows are worked on at once, 1 or more: the most in a training step. Predictions for more are
            made piece by piece.
        training: whether it shall train and give gradients, or only predict: fewer kernels to compile, or to load.

        The handle shares the network's parameters and optimizer state, and owns memory for the rest: it is for one
        thread at a time. Of several handles of one network, any number may predict or give gradients at once, but
        while one trains or applies gradients no other may work. It keeps to which layers are trainable when it is made.
        Raises TypeError or ValueError for other arguments.
        """
        rows, training = check_integer("rows", rows, low=1), check_bool("training", training)
        workspace = self.new_workspace(rows, grads=np.zeros_like(self.grads))
        kinds = tuple(self.loss.kernels)
        return make_handle(workspace, rows, self.outputs, self.spec.targets, kinds, training=training)

    def c_pointers(self, rows: int = 1, *, training: bool = True) -> CPointers:
        """A C struct of functions and sizes, with which C code in this process runs this network: see fastbp.h.

            p = net.c_pointers(rows=32)
            library.simulate(ctypes.byref(p))  # void simulate(const fastbp_f32 *net)

        Arguments and errors as for `handle`; each struct has a handle of its own, which lives as long as it. The
        header is in the folder fastbp.get_include().
        """
        return make_pointers(self.handle(rows, training=training), self.dtype, labels="labels" in self.loss.kernels)

    # --- files ---

    def save(self, path: str | os.PathLike, extra: dict | None = None) -> None:
        """Write everything needed to go on training bit for bit to one .npz file, whole or not at all.

        extra: what else to keep in the file, in place of net.extra: a dict of what JSON has. `fb.load(path).extra` is
            then that.

        Raises TypeError or ValueError for other arguments, ValueError if a parameter is NaN or infinite, OSError if the
        file can't be written: a file that was there stays.
        """
        networks.write(path, self, extra)

    def export_c(self, path: str | os.PathLike, name: str = "model") -> None:
        """Write `predict` for one row as one C99 file, whole or not at all: `void NAME_predict(const T x[], T y[])`.

        It holds the weights, exactly; it needs nothing but math.h, allocates nothing and keeps nothing between calls.
        T is float or double, as the network's dtype; x and y are one row, in C order. The values between layers lie on
        the stack: the file says how many bytes they are, and how to put them elsewhere.

        path: of the file, such as "model.c"; name: what its function's name begins with.
        Raises TypeError or ValueError for another name, ValueError that names the layer for one that can't be written
        as C (a CustomActivation, for one), or if params are not finite; OSError if the file can't be written.
        """
        export.export_c(self, path, name)

    def _feed(self, X: Any, y: Any, sample_weight: Any = None) -> Feed:
        """X, y and weights, checked, whatever their size."""
        return feeds.feed_in_memory(self.spec, X, y, sample_weight)


def load(path: str | os.PathLike, custom_objects: Mapping[str, Any] | None = None) -> Network:
    """The network that `save` or a Checkpoint wrote to `path`; training goes on bit for bit.

    What `save` got as `extra` is the network's `extra`.

    custom_objects: the CustomActivations and CustomLosses that it has, by their names: a file holds no code.

    Raises OSError if there is no such file or it can't be read, FileFormatError if it is not a whole fastbp model,
    ValueError if custom_objects lacks one.
    """
    check_path("path", path)
    return networks.read(path, networks.check_custom(custom_objects), Network)[0]


@typeof_impl.register(Network)
def _typeof_network(value: Any, c: Any) -> None:
    """Say what compiled functions take in place of a network."""
    if c.purpose is Purpose.argument:
        raise TypeError(f"compiled functions take a handle, got a {type(value).__name__}: give net.handle()")
