"""All that fastbp asks of Numba: compiled functions, their cache on disk, threads, locks and digests."""
