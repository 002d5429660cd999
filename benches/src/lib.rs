//! The Rust side of the benches. The workloads are Python's (`benches/python/workload.py`) until a bench
//! needs them here.
