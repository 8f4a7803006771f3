"""How the dose network is trained, in stages; read `README.md` first."""
