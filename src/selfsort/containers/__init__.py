"""How picture files are built, as far as decoders are too strict or too ignorant: one module for each format.

``sound(data)`` returns the same picture without the metadata that cannot be read; ``completed(data)`` also fills what a
file that ends early lacks. All raise ValueError where that is not possible, and nothing here decodes untrusted sizes.
"""
