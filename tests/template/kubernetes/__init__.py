"""Tests of the manifests for Kubernetes, as kubectl builds them, and of the guide to them."""
