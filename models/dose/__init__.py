"""Predict the dose of a nine-field head-and-neck plan; read `patient.py` first."""
