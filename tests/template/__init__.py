"""Tests of taking this repository: what is slow because it copies, generates or sets up whole projects."""
