/* fastbp.h: a network of fastbp, called from C.

   Python makes one of the structs below, `net.c_pointers(rows)`, and passes its address to C in the same process:

       p = net.c_pointers(rows=32)
       library.simulate(ctypes.byref(p))

       void simulate(const fastbp_f32 *net) {
           double loss;
           if (net->train_step(net->handle, x, y, 32, &loss) != FASTBP_DONE) ...
           net->predict(net->handle, x, 1, out);
       }

   fastbp_f32 is for networks of float32, fastbp_f64 for float64. They are valid as long as Python keeps them.

   Arrays lie in C order, one row behind the other:
       x     (rows, inputs)
       y     (rows,) int64_t labels, 0 to outputs - 1, for the loss cross_entropy; else (rows, outputs) of the
             network's type, for gaussian_nll (rows, outputs / 2). Values must be finite and in the loss's range:
             only labels are checked
       out   what is written; see each function
       loss  one double

   Each function returns FASTBP_DONE or says why it did nothing. They allocate nothing, need no Python and no lock of
   Python's, and work on the calling thread. A handle is for one thread at a time: another gets FASTBP_IN_USE.

   For Fortran there is fastbp.f90 beside this file. */

#ifndef FASTBP_H
#define FASTBP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FASTBP_DONE = 0,
    FASTBP_IN_USE = 1,    /* another thread uses the handle */
    FASTBP_UNABLE = 2,    /* c_pointers(..., training=False) can only predict */
    FASTBP_BAD_ROWS = 3,  /* rows < 0, or < 1 to learn from, or more than c_pointers(rows) */
    FASTBP_BAD_LABEL = 6, /* a label is not 0 to outputs - 1 */
    FASTBP_IS_NULL = 9,   /* the handle is NULL, or an array or loss is that is needed */
    FASTBP_BAD_GRADIENT = 11, /* the gradient has a number that is not finite */
    FASTBP_ONE_ROW = 13   /* a training step of one row, of which a BatchNorm has no variance */
};

typedef struct fastbp_f32 {
    void *handle;        /* what each function takes first */
    int64_t rows;        /* the most in a training step; predictions may be for more */
    int64_t inputs;      /* numbers in a row of x */
    int64_t outputs;     /* numbers in a row of outputs */
    int64_t num_params;
    float *params;       /* (num_params,), the network's own: they may be read and written */

    /* out (rows, outputs): as Network.predict and Network.forward */
    int32_t (*predict)(void *handle, const float *x, int64_t rows, float *out);
    int32_t (*forward)(void *handle, const float *x, int64_t rows, float *out);
    /* One step; the loss before it. If that is not finite, no parameter has changed. */
    int32_t (*train_step)(void *handle, const float *x, const void *y, int64_t rows, double *loss);
    /* out (num_params,): the gradient of the loss by the parameters */
    int32_t (*value_and_grad)(void *handle, const float *x, const void *y, int64_t rows, double *loss, float *out);
    /* out (rows, inputs): the gradient of the loss by x */
    int32_t (*input_gradient)(void *handle, const float *x, const void *y, int64_t rows, double *loss, float *out);
    /* out (rows, outputs, inputs): the derivatives of predict's outputs by x */
    int32_t (*input_jacobian)(void *handle, const float *x, int64_t rows, float *out);
    /* predict's output for one row of n = inputs numbers, of a network with one output; NaN if that can't be had.
       SciPy's quad, nquad and others take it as a LowLevelCallable with the handle as user data. */
    double (*value)(int32_t n, const double *x, void *handle);
    /* One optimizer step with a gradient (num_params,) of one's own, such as a sum of what value_and_grad gives: see
       Network.apply_gradients. */
    int32_t (*apply_gradients)(void *handle, const float *gradient);
} fastbp_f32;

typedef struct fastbp_f64 {
    void *handle;
    int64_t rows;
    int64_t inputs;
    int64_t outputs;
    int64_t num_params;
    double *params;
    int32_t (*predict)(void *handle, const double *x, int64_t rows, double *out);
    int32_t (*forward)(void *handle, const double *x, int64_t rows, double *out);
    int32_t (*train_step)(void *handle, const double *x, const void *y, int64_t rows, double *loss);
    int32_t (*value_and_grad)(void *handle, const double *x, const void *y, int64_t rows, double *loss, double *out);
    int32_t (*input_gradient)(void *handle, const double *x, const void *y, int64_t rows, double *loss, double *out);
    int32_t (*input_jacobian)(void *handle, const double *x, int64_t rows, double *out);
    double (*value)(int32_t n, const double *x, void *handle);
    int32_t (*apply_gradients)(void *handle, const double *gradient);
} fastbp_f64;

#ifdef __cplusplus
}
#endif

#endif
