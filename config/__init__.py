"""How the apps become one running product: settings, addresses, the web process, the launcher."""
