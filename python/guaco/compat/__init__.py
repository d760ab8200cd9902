"""Faces of other libraries over Guaco, for programs written for them."""
