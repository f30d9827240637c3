"""What becomes of trainings and files when processes die and bytes change."""
