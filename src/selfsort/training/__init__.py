"""One training loop for every method: what a method trains is its objective, never a loop of its own.

`Session` holds where a fit runs (device, precision, checkpoints, progress), `Batches` what it sees, `Plan` how it
steps, and `train` does the work. All that is random in step t is drawn from a state made of (seed, t) alone, so a run
that was killed anywhere and resumed gives the same weights, to the bit, as one that was not.
"""
