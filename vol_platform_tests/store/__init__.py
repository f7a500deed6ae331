"""The store: protocol, migrations, publishing, retention."""
