"""scikit-learn's estimators, with fastbp's networks."""
