"""Plots of a fitted estimator, with the interface of scikit-learn's displays."""
