"""What each player minimises, as functions of weights, batch and draws."""
