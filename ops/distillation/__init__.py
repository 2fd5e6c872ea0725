"""Distillation: teacher molecular dynamics, teacher labels, the filter, and the student."""
