"""Many designs of one network: area against latency, on Dask, kept as they come."""
