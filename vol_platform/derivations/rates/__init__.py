"""Interest rates to every expiry."""
