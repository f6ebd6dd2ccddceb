"""Running notebooks: what they call first and last, papermill over all of them, reports, writing outputs back."""
