"""The forward of every expiry."""
