"""How good a model is: metrics with intervals, and the curves that a report draws. numpy alone."""
