"""uvolt's benchmarks: a registry of cases, drivers, a renderer. `python benchmarks/run.py --help`."""
