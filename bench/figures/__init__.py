"""Figures for papers and pages, drawn from the matrix: SVG and PNG, colour-blind safe, no torch."""
