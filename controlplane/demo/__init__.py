"""`penstock demo`: both planes, a real local model and a SIMULATED world around them, scored."""
