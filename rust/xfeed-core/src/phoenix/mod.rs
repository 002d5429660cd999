//! The transformer of the models on a plain processor: context once, candidates one by one.
