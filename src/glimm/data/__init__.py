"""The data room: frames of any kind, formulas, model matrices as blocks."""
