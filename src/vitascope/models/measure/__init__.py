"""What a model costs: multiply-adds, parameters, shapes; models without values to measure by."""
