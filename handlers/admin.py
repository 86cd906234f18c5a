"""/admin: the market at a glance and live."""

from domain import monitor
from handlers.expose import Namespace

admin = Namespace("/admin")

admin.expose(monitor.overview, http="GET /api/admin/overview")
admin.expose(monitor.live)
