"""`python -m web` is the `turnstile` command, also where no console script is installed."""

from web.cli import main

main()
