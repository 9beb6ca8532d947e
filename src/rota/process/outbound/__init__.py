"""Requests to other machines, which go to public addresses alone, and to what a team allows besides."""
