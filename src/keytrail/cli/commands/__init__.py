"""One module a command. They import what runs them inside the functions, so that `--help` stays instant."""
