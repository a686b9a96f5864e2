"""The sample monitors of a company with a shop, offices in three cities and a warehouse."""

from __future__ import annotations

from tianji.demo.catalogue.backups import BACKUPS
from tianji.demo.catalogue.finance import FINANCE
from tianji.demo.catalogue.network import NETWORK
from tianji.demo.catalogue.servers import SERVERS
from tianji.demo.catalogue.shop import SHOP
from tianji.demo.catalogue.warehouse import WAREHOUSE
from tianji.demo.jobs import Job, Outage

OUTAGES = (
    Outage(
        "jakarta",
        11.37,
        34,
        "Edge router Jakarta",
        "Uplink of the Jakarta office was down: the provider replaced a card in the exchange. "
        "A second line is ordered.",
    ),
    Outage("warehouse", 0.61, 26, "Cold room 1", "Power cut in the warehouse; the UPS lasted 9 minutes."),
)

JOBS: tuple[Job, ...] = (*BACKUPS, *SHOP, *FINANCE, *NETWORK, *SERVERS, *WAREHOUSE)
