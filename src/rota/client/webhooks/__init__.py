"""Webhooks as an application sees them: requests that go out, subscriptions, and what was delivered to each."""
