"""Did it get better? Statistics, calibration, the KL–reward frontier, and exact KL.

Import from the modules: ``statistics``, ``calibration`` and ``frontier`` need NumPy only, ``exact_kl`` needs torch.
"""
