"""Parts of `dubflow evaluate`: one item scored, many in processes, tables and the report."""
