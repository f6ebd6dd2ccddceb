"""What notebooks ask for by profile: prepared pairs, trained encoders, evaluations, their cost."""
