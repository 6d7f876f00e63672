"""`python -m web` is the `turnstile` command, also where no console script is installed."""

from web.cli import main
from workers.supervisor import end_with_supervisor

if __name__ == "__main__":
    end_with_supervisor()
    main()
