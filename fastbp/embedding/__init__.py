"""Networks inside other code: handles for @njit functions, C and Fortran, objectives for SciPy."""
