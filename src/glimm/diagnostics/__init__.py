"""What may be wrong with a fit, and what to do: findings, residuals, influence."""
