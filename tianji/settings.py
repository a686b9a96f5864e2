"""All settings, from the environment only; each variable is described in docs/settings.md."""

import logging
from typing import Any

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import validate

from api import openapi
from tianji import databases, environment, paths
from tianji.logging import logging_config

env = environment.Environment()
# Where templates, static files and catalogues are.
BASE_DIR = paths.home()

# --- Where this instance lives -------------------------------------------------------------------

TIANJI_DATA = environment.folder("TIANJI_DATA", env.str("TIANJI_DATA", str(paths.default_data())))
TIANJI_HOST = environment.host(env.str("TIANJI_HOST", "127.0.0.1"))
TIANJI_PORT = env.int("TIANJI_PORT", 8000, validate=validate.Range(1, 65_535))
DEBUG = env.bool("TIANJI_DEBUG", False)

_DATABASE_URL = env.str("DATABASE_URL", "")
DATABASE_URL_IS_SET = bool(_DATABASE_URL)
REDIS_URL = environment.redis_url(env.str("REDIS_URL")) if env.str("REDIS_URL", "") else ""

SECRET_KEY = env.str("SECRET_KEY", "")
# A generated key is only safe if the database is in the data folder too: containers that each generated
# their own could not read each other's sessions.
if SECRET_KEY or _DATABASE_URL:
    SECRET_KEY = environment.given_secret_key(SECRET_KEY)
else:
    SECRET_KEY = environment.generated_secret_key(TIANJI_DATA)
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", [])

_default_host = "localhost" if TIANJI_HOST in ("0.0.0.0", "::") else TIANJI_HOST
_default_url = f"http://{f'[{_default_host}]' if ':' in _default_host else _default_host}:{TIANJI_PORT}"
TIANJI_URL = env.str("TIANJI_URL", _default_url).rstrip("/")
TIANJI_URL_IS_SET = bool(env.str("TIANJI_URL", ""))
_public = environment.public_url(TIANJI_URL)
_listens_everywhere = TIANJI_HOST in ("0.0.0.0", "::") and not TIANJI_URL_IS_SET
ALLOWED_HOSTS = env.list(
    "TIANJI_ALLOWED_HOSTS",
    ["*"] if _listens_everywhere else [_public.hostname, TIANJI_HOST, "localhost", "127.0.0.1", "[::1]"],
    validate=validate.Length(min=1, error="Without any host, no page would be served."),
)
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]

TIANJI_TRUST_PROXY = env.bool("TIANJI_TRUST_PROXY", False)
if TIANJI_TRUST_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # Otherwise everyone behind the proxy would share one limit on failed sign-ins.
    ALLAUTH_TRUSTED_PROXY_COUNT = 1

_https = _public.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SECURE_SSL_REDIRECT = _https and TIANJI_TRUST_PROXY
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^healthz$"]
SECURE_HSTS_SECONDS = env.int("TIANJI_HSTS_SECONDS", 3600 if _https else 0, validate=validate.Range(0))
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# The admin site sends one field per selected row, and a channel's form one per monitor.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000
SESSION_ENGINE = "accounts.session_store"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
# Subdomains and preload lists are for the operator to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- Django --------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "tianji",
    "accounts",
    "monitors",
    "notifications",
    # Without the pages, which tianji/urls.py loads: workers and Celery Beat have none.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "template_partials",
    "django_celery_beat",
    "csp",
]

MIDDLEWARE = [
    "tianji.middleware.PushGate",
    "tianji.middleware.OnlyUtf8",
    "tianji.middleware.UnchangedGate",
    "tianji.logging.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "core.timezones.TimezoneMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "tianji.urls"
WSGI_APPLICATION = "tianji.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context_processors.workspace",
                "core.theme.theme",
            ],
        },
    }
]

# --- Data ----------------------------------------------------------------------------------------

_in_data = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(TIANJI_DATA / "tianji.sqlite3")}
DATABASES: dict[str, Any] = {"default": env.dj_db_url("DATABASE_URL") if _DATABASE_URL else _in_data}
_database = DATABASES["default"]
if _database["ENGINE"].endswith("postgresql"):
    _pool = env.int("TIANJI_DB_POOL", 12, validate=validate.Range(1))
    databases.set_up_postgresql(_database, pool=_pool, prepare=env.bool("TIANJI_DB_PREPARE", True))
    if env.str("DATABASE_REPLICA_URL", ""):
        DATABASES["replica"] = databases.replica_of(_database, env.dj_db_url("DATABASE_REPLICA_URL"))
elif _database["ENGINE"].endswith("sqlite3"):
    databases.set_up_sqlite(_database)
else:
    raise ImproperlyConfigured("DATABASE_URL must start with postgresql:// or sqlite://")

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            # Only rate limits use it: waiting longer for it would block what it should protect.
            "OPTIONS": {
                "socket_connect_timeout": 1,
                "socket_timeout": 1,
                # Whoever can write to Redis must not be able to run code here.
                "serializer": "core.json_cache.JsonSerializer",
            },
            # Values of the version that pickled them are not read.
            "VERSION": 2,
        }
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

# --- People --------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.authentication.EmailBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "accounts.allauth_adapter.AccountAdapter"
MFA_ADAPTER = "accounts.allauth_adapter.MFAAdapter"
# Their attempts are counted in the database (accounts/services/sign_in_limits.py).
ACCOUNT_FORMS = {
    "change_password": "accounts.sign_in_forms.ChangePasswordForm",
    "reset_password": "accounts.sign_in_forms.ResetPasswordForm",
}
MFA_FORMS = {
    "authenticate": "accounts.sign_in_forms.AuthenticateForm",
    "reauthenticate": "accounts.sign_in_forms.ReauthenticateForm",
}
# So allauth doesn't count them as well, in the cache.
ACCOUNT_RATE_LIMITS = dict.fromkeys(
    ("login", "login_failed", "reauthenticate", "change_password", "reset_password")
)
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "accounts.password_tokens.PasswordTokens"  # noqa: S105
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
# Otherwise anyone could make this server send a password reset email to any address.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
# Sign-up is by invitation, and without a mail server no address can be verified; the second factor must
# not depend on verification.
MFA_ALLOW_UNVERIFIED_EMAIL = True
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"

TIANJI_ADMIN_EMAIL = env.str("TIANJI_ADMIN_EMAIL", "")
TIANJI_ADMIN_PASSWORD = env.str("TIANJI_ADMIN_PASSWORD", "")

# --- Language and time ---------------------------------------------------------------------------

# Each under its own name, so that people can find their language on a page they cannot read.
LANGUAGES = [("en", "English"), ("id", "Bahasa Indonesia")]
LANGUAGE_CODE = env.str("TIANJI_LANGUAGE", "en", validate=validate.OneOf(dict(LANGUAGES)))
LANGUAGE_COOKIE_AGE = 60 * 60 * 24 * 365
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = _https
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_TZ = True
TIME_ZONE = environment.time_zone(env.str("TIANJI_TIME_ZONE", "UTC"))

# --- Static files --------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Source maps are only loaded by debuggers.
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = [
    *("jpg", "jpeg", "png", "gif", "webp", "zip", "gz", "tgz", "bz2", "tbz", "xz", "br", "woff", "woff2"),
    "map",
]
STATIC_ROOT = environment.folder("TIANJI_STATIC", env.str("TIANJI_STATIC", str(TIANJI_DATA / "static")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}

# --- The API and pushes --------------------------------------------------------------------------

# Requests per minute for each API key or user; 0 means no limit.
TIANJI_API_RATE = env.int("TIANJI_API_RATE", 600, validate=validate.Range(0))
REST_FRAMEWORK = {
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = openapi.SETTINGS
# How many pushes may wait for a commit in one web process, and how many may share a transaction.
TIANJI_PUSH_QUEUE = env.int("TIANJI_PUSH_QUEUE", 2000, validate=validate.Range(1))
TIANJI_PUSH_BATCH = env.int("TIANJI_PUSH_BATCH", 64, validate=validate.Range(1))
# Pushes per minute for each token; 0 means no limit.
TIANJI_PUSH_RATE = env.int("TIANJI_PUSH_RATE", 60, validate=validate.Range(0, 1_000_000))
# The share of the pushes of a minute that may fail with 503; over it, that minute is a gap.
TIANJI_GAP_SHARE = env.float("TIANJI_GAP_SHARE", 0.5, validate=validate.Range(0, 1))
TIANJI_RETENTION_DAYS = env.int(
    "TIANJI_RETENTION_DAYS", 30, validate=validate.Range(1, environment.DAYS_MOST)
)
TIANJI_REJECTED_DAYS = env.int("TIANJI_REJECTED_DAYS", 30, validate=validate.Range(1, environment.DAYS_MOST))
# How many days daily rollups are kept: at least as long as what they are calculated from.
TIANJI_DAILY_ROLLUP_DAYS = env.int(
    "TIANJI_DAILY_ROLLUP_DAYS", 1825, validate=validate.Range(400, environment.DAYS_MOST)
)
# How many days incidents, status changes and deliveries are kept, and the audit log; 0 keeps them.
TIANJI_HISTORY_DAYS = environment.history_days(
    env.int("TIANJI_HISTORY_DAYS", 400, validate=validate.Range(max=environment.DAYS_MOST))
)
TIANJI_AUDIT_DAYS = env.int("TIANJI_AUDIT_DAYS", 400, validate=validate.Range(0, environment.DAYS_MOST))

# --- Processes -----------------------------------------------------------------------------------

# On SQLite two processes would only wait for each other's transactions.
TIANJI_WEB_WORKERS = env.int("TIANJI_WEB_WORKERS", 2 if _DATABASE_URL else 1, validate=validate.Range(1))
TIANJI_WEB_THREADS = env.int("TIANJI_WEB_THREADS", 32, validate=validate.Range(1))
TIANJI_WORKER_THREADS = env.int("TIANJI_WORKER_THREADS", 20, validate=validate.Range(1))
# What a worker and Celery Beat touch while they work, for health checks.
TIANJI_ALIVE = env.str("TIANJI_ALIVE", "")

# --- Notifications -------------------------------------------------------------------------------

TIANJI_EMAIL_URL = env.str("TIANJI_EMAIL_URL", "")
if TIANJI_EMAIL_URL:
    _email = environment.email_settings(TIANJI_EMAIL_URL)
    EMAIL_BACKEND = _email["EMAIL_BACKEND"]
    EMAIL_HOST = _email["EMAIL_HOST"]
    EMAIL_PORT = _email["EMAIL_PORT"]
    EMAIL_HOST_USER = _email["EMAIL_HOST_USER"]
    EMAIL_HOST_PASSWORD = _email["EMAIL_HOST_PASSWORD"]
    EMAIL_USE_TLS = _email["EMAIL_USE_TLS"]
    EMAIL_USE_SSL = _email["EMAIL_USE_SSL"]
else:
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str(
    "TIANJI_EMAIL_FROM", f"Tianji <tianji@{_public.hostname}>", validate=environment.email_sender
)

# Private networks, IP addresses and host names that notifications may be sent to.
TIANJI_ALLOW_PRIVATE_WEBHOOKS = environment.private_hosts(env.list("TIANJI_ALLOW_PRIVATE_WEBHOOKS", []))

# --- Logging -------------------------------------------------------------------------------------

LOGGING = logging_config(
    level=env.log_level("TIANJI_LOG_LEVEL", logging.INFO),
    json=env.str(
        "TIANJI_LOG_FORMAT",
        "console" if not _DATABASE_URL else "json",
        validate=validate.OneOf(["console", "json"]),
    )
    == "json",
)
