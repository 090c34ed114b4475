"""uvolt's benchmarks: a registry of cases, drivers, a renderer; see run.py."""
