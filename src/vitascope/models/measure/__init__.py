"""What a model costs: multiply-adds, parameters, shapes; networks without values to measure by."""
