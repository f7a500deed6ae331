"""ClickHouse: client, embedded server, migrations, SQL models, staged publishing."""
