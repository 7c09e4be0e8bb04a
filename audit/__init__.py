"""`hmp-audit`: reads audit logs, and tells who still depends on HMP."""
