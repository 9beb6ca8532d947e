"""Tests of the sample jobs and of the demo that plays them; this folder goes when src/jobs/samples does."""
