"""What features, reconstructions and samples are worth."""
