"""Arrays in, arrays out: the formulas of the measure, knowing no estimator."""
