//! What the benchmarks share: buffers laid out as an engine lays them out.
