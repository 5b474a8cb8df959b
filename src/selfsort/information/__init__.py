"""How much two sets of columns tell about each other: estimates of mutual information with their uncertainty.

columns.py checks the input and brings it into one scale, binned.py counts, critic.py and bounds.py are the neural
bounds, estimate.py puts them together, gaussian.py has the law whose mutual information is known.
"""

from selfsort.information.gaussian import gaussian_mutual_information, gaussian_sample

__all__ = ["gaussian_mutual_information", "gaussian_sample"]
