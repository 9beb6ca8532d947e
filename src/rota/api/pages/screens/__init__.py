"""The screens of the dashboard, and the forms on them."""
