"""What training and encoding cost in time and memory."""
