"""What every room stands on: errors, files, places, fingerprints, artefacts, languages, processes, the hub, memory-mapped tables."""
