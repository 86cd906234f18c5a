"""Who is online and who views a job, pushed while it changes and stored only as last seen."""
