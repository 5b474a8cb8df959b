"""Networks: plain modules, built from a few numbers that a run folder can hold."""
