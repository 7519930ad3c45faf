"""Every setting of Stepwell, read from the environment only; docs/operations.md lists the variables."""

import sys
from typing import Any
from urllib.parse import urlsplit

import django_stubs_ext
import environ

from config import logs, paths

# Makes QuerySet[Workflow] and ModelAdmin[Workflow] legal at run time where Django has no __class_getitem__.
django_stubs_ext.monkeypatch()

env = environ.Env()

BASE_DIR = paths.BASE_DIR
DATA_DIR = paths.data_dir()

DEBUG: bool = env.bool("DEBUG", default=False)
HTTPS: bool = env.bool("STEPWELL_HTTPS", default=False)
PORT: int = env.int("PORT", default=8000)
PUBLIC_URL: str = env.str("STEPWELL_PUBLIC_URL", default=f"http://localhost:{PORT}").rstrip("/")

# --- Secrets ---------------------------------------------------------------------------------------------------
SECRET_KEY: str = env.str("SECRET_KEY", default="") or paths.kept_secret(DATA_DIR / "secret-key")
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])
# Stored connections are encrypted with the first key and readable with all of them; any long text is a key.
ENCRYPTION_KEYS: list[str] = env.list("STEPWELL_ENCRYPTION_KEYS", default=[]) or [
    paths.kept_secret(DATA_DIR / "encryption-key")
]

# --- Applications ----------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "django_rq",
    "ninja",
    "axes",
    "workflows.tenancy",
    "workflows",
    "runs",
    "templates_app",
]

# All of them run without leaving the event loop; a synchronous one would cost a thread for every request.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.ContentSecurityPolicyMiddleware",
    "config.middleware.StaticFilesMiddleware",
    "config.request_log.RequestLogMiddleware",
    "config.api_errors.ApiErrorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "workflows.tenancy.middleware.TenantMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "workflows.tenancy.context.tenancy",
            ],
        },
    },
]

# --- Data ------------------------------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.db_url("DATABASE_URL")
    if env.str("DATABASE_URL", default="")
    else {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "stepwell.sqlite3"},
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # Every atomic() takes the write lock at once, so that two writers wait instead of failing half-way.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", default=0)
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = paths.redis_url()
REDIS_QUEUE_URL = REDIS_URL
REDIS_CHANNELS_URL = paths.redis_db(REDIS_URL, 1)
REDIS_CACHE_URL = paths.redis_db(REDIS_URL, 2)

CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_CACHE_URL},
}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            # redis-py's five seconds would close every idle socket.
            "hosts": [{"address": REDIS_CHANNELS_URL, "socket_timeout": None}],
            # Publishing knows no database numbers, so the name keeps two installations on one server apart.
            "prefix": env.str("STEPWELL_CHANNEL_PREFIX", default="stepwell"),
        },
    },
}

# --- Queue (classes of work; the rows in the database are the truth, the queue is a doorbell) ---------------------
RQ_SERIALIZER = "rq.serializers.JSONSerializer"
RQ_QUEUES: dict[str, dict[str, Any]] = {
    name: {
        "URL": REDIS_QUEUE_URL,
        "DEFAULT_TIMEOUT": timeout,
        "SERIALIZER": RQ_SERIALIZER,
        "DEFAULT_RESULT_TTL": 0,
    }
    for name, timeout in {"runs": 600, "default": 300}.items()
}
RQ = {"COMMIT_MODE": "on_db_commit"}
RQ_SHOW_ADMIN_LINK = True
WORKERS: int = env.int("STEPWELL_WORKERS", default=2)
WORKER_THREADS: int = env.int("STEPWELL_WORKER_THREADS", default=16)
# How long a run stays with a worker that says nothing; below 3 seconds a busy machine loses its own leases.
LEASE_SECONDS: int = max(env.int("STEPWELL_LEASE_SECONDS", default=30), 3)
# How long work in hand may go on after SIGTERM; below what the supervisor waits before it kills.
WORKER_GRACE_SECONDS: float = env.float("STEPWELL_WORKER_GRACE", default=15.0)
# The expression engine leaks a little with every list it is handed; a worker that has grown so large starts afresh.
WORKER_MEMORY_MB: int = env.int("STEPWELL_WORKER_MEMORY_MB", default=900)

# --- Calls to other servers --------------------------------------------------------------------------------------
# Hosts that workflows may call although their address is not public: host or host:port, commas between.
OUTBOUND_ALLOW: list[str] = env.list("STEPWELL_OUTBOUND_ALLOW", default=[])

# --- People ----------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "tenancy.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "accounts:sign_in"
# The password of the demo tenant's people; empty: they sign in by a link only.
DEMO_PASSWORD: str = env.str("STEPWELL_DEMO_PASSWORD", default="")
PASSWORD_RESET_TIMEOUT = 60 * 60 * 4

AXES_FAILURE_LIMIT: int = env.int("STEPWELL_SIGN_IN_ATTEMPTS", default=10)
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_FORM_FIELD = "username"
AXES_VERBOSE = False
AXES_LOCKOUT_CALLABLE = "workflows.views.accounts.too_many_tries"

# --- Browser ---------------------------------------------------------------------------------------------------
ALLOWED_HOSTS: list[str] = env.list("STEPWELL_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("STEPWELL_TRUSTED_ORIGINS", default=[])
if (public_host := urlsplit(PUBLIC_URL).hostname) and public_host not in ALLOWED_HOSTS:
    ALLOWED_HOSTS = [*ALLOWED_HOSTS, public_host]

SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
# Load balancers ask these two in plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 60 * 60 * 24 * 365 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if env.bool("STEPWELL_BEHIND_PROXY", default=False):
    # Only where a proxy of ours sets the header itself; anybody could send it otherwise.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Above the product's own limit of 2 MB a run, whose answer names the field; the framework's comes after it.
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

# --- Static files ------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA_DIR / "files"},
    },
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage",
    },
}
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG
NINJA_PAGINATION_PER_PAGE = 50

# --- Language, time, mail ------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

DEFAULT_FROM_EMAIL: str = env.str("STEPWELL_FROM_EMAIL", default="Stepwell <stepwell@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
if email_url := env.str("EMAIL_URL", default=""):
    email_config = env.email_url_config(email_url)
    EMAIL_BACKEND: str = email_config["EMAIL_BACKEND"]
    EMAIL_HOST: str = email_config.get("EMAIL_HOST") or "localhost"
    EMAIL_PORT: int = email_config.get("EMAIL_PORT") or 25
    EMAIL_HOST_USER: str = email_config.get("EMAIL_HOST_USER") or ""
    EMAIL_HOST_PASSWORD: str = email_config.get("EMAIL_HOST_PASSWORD") or ""
    EMAIL_USE_TLS: bool = email_config.get("EMAIL_USE_TLS", False)
    EMAIL_USE_SSL: bool = email_config.get("EMAIL_USE_SSL", False)
else:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = str(DATA_DIR / "mail")
EMAIL_TIMEOUT = 20

# --- Logs --------------------------------------------------------------------------------------------------------
LOG_LEVEL: str = env.str("STEPWELL_LOG_LEVEL", default="INFO").upper()
LOGGING = logs.config(
    level=LOG_LEVEL,
    as_json=env.str("STEPWELL_LOG_FORMAT", default="text" if sys.stderr.isatty() else "json") == "json",
)
logs.configure_structlog()
