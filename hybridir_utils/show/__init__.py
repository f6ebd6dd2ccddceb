"""What readers see: tables, figures, findings in words, the paper beside ours."""
