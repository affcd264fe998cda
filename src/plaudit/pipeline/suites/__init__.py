"""Public test sets on a run: one module for each kind of measurement, ``score`` and ``lines`` in each."""
