"""Public data sets and weights: what there is, how it comes to this machine, and what it must be."""

from assignbench.downloads.get import Tell, get
from assignbench.downloads.offers import OFFERS, Offer, brought, offer_of, offers_of

__all__ = ["OFFERS", "Offer", "Tell", "brought", "get", "offer_of", "offers_of"]
