"""What operators start from. Python only in `generate`, which writes the dashboards and the Kubernetes rules."""
