"""Everything that speaks HTTP: Label Studio's ML-backend routes, the status page, health. Flask lives here and nowhere else."""
