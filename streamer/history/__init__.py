"""The exchange's past: asked for page by page, resumable, and compared with what was collected."""
