"""Covariance structures of random effects and working correlations."""
