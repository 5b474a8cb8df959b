"""Repair picture files for decoders that are too strict or incomplete; one module for each format.

``sound(data)`` returns the same picture without damaged metadata. ``completed(data)`` also fills in the missing part of
a truncated file. All raise ValueError if that is impossible. Nothing here decodes untrusted sizes.
"""
