"""A fitted estimator as a file that holds data only: nothing in it is run when it is loaded."""
