"""Days archived to S3, verified and restored; backups of the whole database."""
