"""How good labels are: agreement, biases, strengths of models, as tables of plain values with intervals."""
